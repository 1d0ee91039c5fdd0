"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const narrow = () => window.innerWidth < 760;

  // Every agent looks the same in all plots: a colour, and from the eleventh on another shape.
  const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195",
    "#4d4d4d", "#8c510a", "#999900"];
  const shapes = ["circle", "square", "diamond"];
  const dashes = ["solid", "dash", "dot"];
  const look = Object.fromEntries(data.agents.map((agent, i) => {
    const round = Math.floor(i / palette.length) % shapes.length;
    return [agent.name, { short: agent.short, colour: palette[i % palette.length],
      shape: shapes[round], dash: dashes[round], hollow: agent.clairvoyant }];
  }));
  const short = (agent) => look[agent].short;
  const hidden = new Set();  // agents that are switched off in the keys
  const fair = data.agents.filter((a) => a.attains && !a.clairvoyant)
    .sort((a, b) => a.mean.cost_per_day_usd - b.mean.cost_per_day_usd);
  const standing = (a) => (a === fair[0] ? "cheapest at the targets" : a.clairvoyant ? "clairvoyant"
    : a.attains ? "" : "misses target");

  // -- drawing ----------------------------------------------------------------------------------

  const axis = (title, extra) => Object.assign(
    { title: { text: title, standoff: 6 }, gridcolor: "#e8ecf0", zerolinecolor: "#c8d0d8",
      automargin: true }, extra);

  function draw(id, traces, extra) {
    const layout = Object.assign({
      margin: { l: narrow() ? 48 : 60, r: 12, t: narrow() ? 12 : 30, b: 44 },
      font: { family: "system-ui, sans-serif", size: narrow() ? 11 : 12, color: "#1d2733" },
      paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", showlegend: false,
      dragmode: narrow() ? false : "zoom",
    }, extra);
    if (!traces.length) {
      Object.assign(layout, { xaxis: { visible: false }, yaxis: { visible: false }, annotations: [
        { text: "nothing to show", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5,
          font: { color: "#5b6875", size: 14 } }] });
    }
    const bar = narrow() || id.startsWith("time") ? false : "hover";
    Plotly.react(byId(id), traces, layout, { responsive: true, displaylogo: false,
      displayModeBar: bar, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  }

  // A key outside of the plots: it takes no room from them, and switches agents off in all of them.
  function keys() {
    document.querySelectorAll(".key").forEach((place) => {
      place.replaceChildren(...data.agents.map((agent) => {
        const { colour, shape, hollow } = look[agent.name];
        const button = document.createElement("button");
        const mark = document.createElement("i");
        mark.className = shape;
        mark.style.borderColor = colour;
        mark.style.background = hollow ? "transparent" : colour;
        button.type = "button";
        button.title = agent.name;
        button.dataset.agent = agent.name;
        button.setAttribute("aria-pressed", "true");
        button.append(mark, agent.short);
        button.addEventListener("click", () => toggle(agent.name));
        return button;
      }));
    });
  }

  function toggle(agent) {
    if (!hidden.delete(agent)) hidden.add(agent);
    document.querySelectorAll(".key button").forEach((button) => {
      button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.agent)));
    });
    pareto();
    if (drawn.length) latency();
  }

  // -- cost against service ---------------------------------------------------------------------

  // Where there is room for an agent's name beside its mark; left out if it would hide another.
  function places(points, dots, target, ranges, width, height) {
    const across = (x) => width * (x - ranges[0][0]) / (ranges[0][1] - ranges[0][0]);
    const down = (y) => height * (ranges[1][1] - y) / (ranges[1][1] - ranges[1][0]);
    const around = ([x, y], r) => [across(x) - r, down(y) - r, across(x) + r, down(y) + r];
    const marks = points.map((point) => around(point, 8));
    const taken = [...marks, ...dots.map((dot) => around(dot, 3))];
    if (target !== undefined) taken.push([0, down(target) - 1, width, down(target) + 1]);
    return points.map(([, , name], i) => {
      const [left, top, right, bottom] = marks[i];
      const long = 7 * name.length + 4, x = (left + right) / 2, y = (top + bottom) / 2;
      const options = {
        "top center": [x - long / 2, top - 14, x + long / 2, top],
        "bottom center": [x - long / 2, bottom, x + long / 2, bottom + 14],
        "middle right": [right, y - 8, right + long, y + 8],
        "middle left": [left - long, y - 8, left, y + 8],
        "top left": [x - 6 - long, y - 20, x - 6, y - 6],
        "bottom right": [x + 6, y + 6, x + 6 + long, y + 20],
        "top right": [x + 6, y - 20, x + 6 + long, y - 6],
        "bottom left": [x - 6 - long, y + 6, x - 6, y + 20],
      };
      const free = Object.keys(options).find((place) => {
        const [l, t, r, b] = options[place];
        return l >= 0 && t >= 0 && r <= width && b <= height && !taken.some(
          (box, j) => j !== i && l < box[2] && r > box[0] && t < box[3] && b > box[1]);
      });
      if (free) taken.push(options[free]);
      return free;
    });
  }

  function padded(values, share) {
    const low = Math.min(...values), high = Math.max(...values);
    const room = share * (high - low) || Math.abs(high) * share || 1;
    return [low - room, high + room];
  }

  function pareto() {
    const column = byId("service").value;
    const target = column in data.targets ? 100 * data.targets[column] : undefined;
    const agents = data.agents.filter((a) => column in a.mean && !hidden.has(a.name))
      .sort((a, b) => a.mean.cost_per_day_usd - b.mean.cost_per_day_usd);
    const points = agents.map((a) => [a.mean.cost_per_day_usd, 100 * a.mean[column], a.short]);
    const runs = data.rows.filter((r) => agents.some((a) => a.name === r.agent)
      && r[column] !== null);
    if (!agents.length) return draw("pareto", []);
    const front = points.filter(([, y], i) => points.slice(0, i).every((p) => p[1] < y));
    const many = data.rows.length > data.agents.length;
    const traces = [{ x: front.map((p) => p[0]), y: front.map((p) => p[1]), mode: "lines",
      hoverinfo: "skip", line: { color: "#9aa7b3", width: 1.5 } }];
    const dots = many ? runs.map((r) => [r.cost_per_day_usd, 100 * r[column]]) : [];
    if (many) {
      traces.push({ x: dots.map((p) => p[0]), y: dots.map((p) => p[1]),
        text: runs.map((r) => `${short(r.agent)}<br>${r.trace}, seed ${r.seed}`), mode: "markers",
        marker: { color: runs.map((r) => look[r.agent].colour), size: 6, opacity: 0.45 },
        hovertemplate: "%{text}<br>$%{x:,.0f} a day<br>%{y:.3f} %<extra></extra>" });
    }
    const all = [...points, ...dots];
    const ranges = [padded(all.map((p) => p[0]), 0.06),
      padded([...all.map((p) => p[1]), ...(target === undefined ? [] : [target])], 0.1)];
    const box = byId("pareto");
    const joined = front.slice(1).flatMap(([x, y], i) => Array.from({ length: 80 }, (_, k) => [
      front[i][0] + (x - front[i][0]) * k / 80, front[i][1] + (y - front[i][1]) * k / 80]));
    const names = places(points, [...dots, ...joined], target, ranges, box.clientWidth - 80,
      box.clientHeight - 80);
    agents.forEach((a, i) => {
      const { colour, shape, hollow } = look[a.name];
      const missed = a.misses.map((miss) => `misses ${miss.replace("<", "&lt;")}`);
      const tags = missed.length && !a.clairvoyant ? missed : [standing(a), ...missed];
      const said = [short(a.name), ...tags.filter((tag) => tag)].join("<br>");
      traces.push({ x: [points[i][0]], y: [points[i][1]], name: a.name, mode: "markers+text",
        text: [names[i] ? a.short : ""], textposition: names[i] || "top center",
        marker: { color: colour, size: 13, symbol: hollow ? `${shape}-open` : shape,
          line: { width: hollow ? 2.5 : 0, color: colour } },
        hovertemplate: `${said}<br>$%{x:,.0f} a day<br>%{y:.3f} %<extra></extra>` });
    });
    const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: target, y1: target,
      line: { color: "#b3261e", width: 1, dash: "dash" } };
    draw("pareto", traces, { shapes: target === undefined ? [] : [line],
      xaxis: axis("dollars per day", { tickformat: "~s", tickprefix: "$", range: ranges[0] }),
      yaxis: axis("% within objective", { range: ranges[1] }) });
  }

  // -- over time --------------------------------------------------------------------------------

  const find = (agent, trace) => data.runs.find((r) => r.agent === agent && r.trace === trace);

  // The one or two runs that are looked at.
  function chosen() {
    const trace = byId("trace").value;
    const runs = [find(byId("agent-a").value, trace),
      find(byId("agent-b").value, byId("trace-b").value || trace)];
    const end = Math.max(...runs.filter((r) => r).map((r) => r.hours[r.hours.length - 1]));
    const [unit, per] = end < 3 ? ["minutes", 60] : end < 72 ? ["hours", 1] : ["days", 1 / 24];
    return { runs, unit, per };
  }
  const called = (run) => (data.traces.length > 1 ? `${short(run.agent)} on ${run.trace}`
    : short(run.agent));

  function endpointsOf(run) {
    const wanted = byId("endpoint").value;
    return run.endpoints.map((e, i) => [e, i])
      .filter(([e]) => wanted === "" || e === wanted || e.startsWith(wanted + "/"))
      .map(([, i]) => i);
  }

  // One endpoint, or all: counts are added, shares and loads averaged over active instances.
  function series(run, name) {
    const rows = run.series[name];
    const picked = endpointsOf(run);
    if (picked.length === 1) return rows[picked[0]];
    const shared = ["utilisation", "slo_attainment", "prefix_hit_rate"].includes(name);
    const weight = run.series.active;
    return run.hours.map((_, t) => {
      let total = 0, sum = 0;
      picked.forEach((i) => {
        const w = shared ? Math.max(weight[i][t], 1e-9) : 1;
        sum += w * rows[i][t];
        total += w;
      });
      return shared && total > 0 ? sum / total : sum;
    });
  }

  function timeline(id, run, { runs, unit, per }) {
    byId(id).style.display = run ? "" : "none";
    if (!run) return;
    const x = run.hours.map((h) => h * per);
    const area = (name, key, fillcolor) => ({ x, y: series(run, key), name, stackgroup: "fleet",
      mode: "lines", line: { width: 0, shape: "hv" }, fillcolor, yaxis: "y4",
      hovertemplate: `%{y:.0f} ${name}<extra></extra>` });
    const line = (name, key, yaxis, color, scale) => ({ x, y: series(run, key)
      .map((v) => (scale || 1) * v), name, mode: "lines", line: { color, width: 1.5 }, yaxis,
      showlegend: false, hovertemplate: `%{y:.4~g} ${name}<extra></extra>` });
    const traces = [
      area("active", "active", "#7fb3d5"), area("starting", "pending", "#f2b179"),
      area("draining", "draining", "#c9b3d9"),
      { x, y: series(run, "target"), name: "target", mode: "lines", yaxis: "y4",
        line: { color: "#1d2733", width: 1.2, shape: "hv" },
        hovertemplate: "%{y:.0f} wanted<extra></extra>" },
      line("load", "utilisation", "y3", "#0072b2"),
      line("tokens queued", "queued_prompt_tokens", "y2", "#d55e00"),
      line("% attained", "slo_attainment", "y", "#009e73", 100),
      ...(run.series.prefix_hit_rate
        ? [line("% of prompt tokens cached", "prefix_hit_rate", "y5", "#cc79a7", 100)] : []),
    ];
    // Both runs are drawn on the same scale, so that they can be compared by eye.
    const shown = runs.filter((r) => r);
    const top = (...keys) => {
      let most = 0;
      shown.forEach((r) => {
        const columns = keys.map((key) => series(r, key));
        r.hours.forEach((_, t) => {
          most = Math.max(most, columns.reduce((sum, column) => sum + column[t], 0));
        });
      });
      return [0, 1.05 * most || 1];
    };
    const lowest = Math.min(...shown.map((r) => Math.min(...series(r, "slo_attainment"))));
    const instances = [0, Math.max(top("active", "pending", "draining")[1], top("target")[1])];
    const aim = 100 * Object.values(data.targets)[0];
    const low = Math.min(100 * lowest, aim);
    const small = { tickfont: { size: narrow() ? 10 : 11 }, nticks: 5 };
    draw(id, traces, {
      title: { text: `<b>${called(run)}</b>, seed ${run.seed}`, x: 0.02, y: 0.985,
        font: { size: 13 } },
      margin: { l: narrow() ? 48 : 60, r: 10, t: narrow() ? 66 : 52, b: 40 },
      hovermode: "x unified",
      showlegend: true, legend: { orientation: "h", y: 1.0, yanchor: "bottom", x: 0,
        xanchor: "left", traceorder: "normal", itemwidth: 30, font: { size: narrow() ? 10 : 11 } },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: aim, y1: aim,
        line: { color: "#b3261e", width: 1, dash: "dash" } }],
      xaxis: axis(unit, { anchor: "y", range: [0, x[x.length - 1]] }),
      yaxis: axis("attained %", { domain: [0, 0.2],
        range: [Math.max(0, low - 2), 101], ...small }),
      yaxis2: axis("queued tokens", { domain: [0.26, 0.44],
        range: top("queued_prompt_tokens"), ...small }),
      yaxis3: axis("load", { domain: [0.5, 0.68], range: top("utilisation"), ...small }),
      // Prefix caches share the panel of the load, on a scale of their own at the right.
      ...(run.series.prefix_hit_rate ? { yaxis5: axis("cached %", { overlaying: "y3",
        side: "right", range: [0, 101], showgrid: false, ...small }) } : {}),
      yaxis4: axis("instances", { domain: [0.74, 1], range: instances, ...small }),
    });
  }

  // Stacked areas: active instances by model or region, or billed VMs by type.
  function fleet(id, run, { runs, unit, per }) {
    byId(id).style.display = run ? "" : "none";
    if (!run) return;
    const split = byId("fleet-split").value;
    const parts = (one) => {
      if (split === "type") return Object.entries(one.types);
      const sums = {};
      one.endpoints.forEach((endpoint, i) => {
        const name = endpoint.split("/")[Number(split)];
        sums[name] = one.series.active[i].map((v, t) => v + (sums[name] ? sums[name][t] : 0));
      });
      return Object.entries(sums);
    };
    const x = run.hours.map((h) => h * per);
    const most = Math.max(1, ...runs.filter((r) => r).map((r) => Math.max(
      ...r.hours.map((_, t) => parts(r).reduce((sum, [, row]) => sum + row[t], 0)))));
    draw(id, parts(run).map(([name, row], i) => ({ x, y: row, name, mode: "lines",
      stackgroup: "fleet", line: { width: 0, shape: "hv" }, fillcolor: palette[i % palette.length],
      hovertemplate: `%{y:.1f} ${name}<extra></extra>` })), {
      title: { text: `<b>${called(run)}</b>, seed ${run.seed}`, x: 0.02, y: 0.985,
        font: { size: 13 } },
      margin: { l: narrow() ? 48 : 60, r: 10, t: 64, b: 40 }, hovermode: "x unified",
      showlegend: true, legend: { orientation: "h", y: 1.0, yanchor: "bottom", x: 0,
        traceorder: "normal", font: { size: narrow() ? 10 : 11 } },
      xaxis: axis(unit, { range: [0, x[x.length - 1]] }),
      yaxis: axis("instances", { range: [0, 1.05 * most] }) });
  }

  function events({ runs, unit, per }) {
    const shown = runs.filter((run, i) => run && runs.indexOf(run) === i);
    const traces = [];
    let end = 0, width = 1, most = 0;
    shown.forEach((run, side) => {
      const sum = (rows) => rows[0].map(
        (_, bin) => endpointsOf(run).reduce((total, e) => total + rows[e][bin], 0));
      const outs = sum(run.scale_outs), ins = sum(run.scale_ins);
      width = run.bin_hours;
      most = Math.max(most, ...outs, ...ins);
      end = Math.max(end, outs.length * width * per);
      const colour = look[run.agent].colour;
      const alike = side === 1 && colour === look[shown[0].agent].colour;
      const bar = { type: "bar", x: outs.map((_, bin) => (bin + 0.5) * width * per),
        name: called(run), marker: { color: colour, pattern: { shape: alike ? "/" : "" } },
        legendgroup: String(side), offsetgroup: String(side) };
      const extra = `<extra>${called(run)}</extra>`;
      traces.push({ ...bar, y: outs, hovertemplate: `%{y} out${extra}` });
      traces.push({ ...bar, y: ins.map((v) => -v), showlegend: false, opacity: 0.55,
        customdata: ins, hovertemplate: `%{customdata} in${extra}` });
    });
    const long = width < 1 ? `${Math.round(60 * width)} minutes`
      : width === 1 ? "hour" : width === 24 ? "day" : `${width} hours`;
    draw("events", traces, { barmode: "relative", bargap: 0.15, showlegend: true,
      legend: { orientation: "h", y: 1.0, yanchor: "bottom", x: 0 },
      margin: { l: narrow() ? 48 : 60, r: 12, t: 34, b: 44 },
      xaxis: axis(unit, { range: [0, end] }), yaxis: axis(`instances per ${long}`,
        most > 5 ? {} : { dtick: 1 }) });
  }

  // -- latency ----------------------------------------------------------------------------------

  const decades = [-3, -2, -1, 0, 1, 2, 3, 4, 5].map((power) => 10 ** power);
  const shares = { 100: "100 %", 50: "50 %", 10: "10 %", 5: "5 %", 1: "1 %", 0.1: "0.1 %",
    0.01: "0.01 %" };

  function latency() {
    const kind = byId("latency-kind").value, tier = byId("latency-tier").value;
    const model = byId("latency-model").value, trace = byId("trace").value;
    const traces = data.latency
      .filter((d) => d.kind === kind && d.tier === tier && d.model === model && d.trace === trace
        && !hidden.has(d.agent))
      .map((d) => ({ x: d.seconds, y: data.levels.map((q) => 100 * (1 - q)), name: short(d.agent),
        mode: "lines", line: { color: look[d.agent].colour, dash: look[d.agent].dash, width: 2,
          shape: "hv" },
        hovertemplate: `%{y:.3~g} % longer than %{x:.3~g} s<extra>${short(d.agent)}</extra>` }));
    const seconds = narrow() ? decades : decades.flatMap((v) => [v, 2 * v, 5 * v]);
    draw("latency", traces, {
      xaxis: axis("seconds", { type: "log", tickvals: seconds, ticktext: seconds.map(
        (v) => (v < 1 ? String(Number(v.toPrecision(1))) : v.toLocaleString("en-US"))) }),
      yaxis: axis("share that took longer", { type: "log", range: [-2, 2.03],
        tickvals: Object.keys(shares).map(Number).sort((a, b) => a - b),
        ticktext: Object.keys(shares).sort((a, b) => a - b).map((share) => shares[share]) }) });
  }

  // -- cost -------------------------------------------------------------------------------------

  function cost() {
    const split = byId("cost-split").value;
    const rows = data.costs.filter((c) => c.trace === byId("trace").value);
    const names = split === "model" ? data.models : data.regions;
    const traces = names.map((name, i) => ({ type: "bar", orientation: "h", name,
      y: rows.map((c) => short(c.agent)), x: rows.map((c) => c[split][i]),
      marker: { color: palette[i % palette.length] },
      hovertemplate: `%{y}<br>${name}: $%{x:,.0f} a day<extra></extra>` }));
    const height = 130 + 28 * rows.length;
    byId("cost").style.height = `${height}px`;
    draw("cost", traces, { barmode: "stack", bargap: 0.3, height, showlegend: true,
      margin: { l: 60, r: 16, t: 60, b: 44 },
      legend: { orientation: "h", y: 1.0, yanchor: "bottom", x: 0, traceorder: "normal" },
      xaxis: axis("dollars per day", { tickformat: "~s", tickprefix: "$", nticks: 7 }),
      yaxis: axis("", { type: "category", autorange: "reversed", showgrid: false }) });
  }

  function scaled() {
    const wanted = Number(byId("scale").value);
    const usd = (v) => (v < -0.5 ? "-$" : "$") + Math.abs(Math.round(v)).toLocaleString("en-US");
    const now = data.agents.find((a) => a.name === byId("baseline").value);
    const cells = [["agent", "$ a day", "$ a month", "saves a month"]];
    (wanted > 0 ? data.agents : []).forEach((a) => {
      const day = a.usd_per_request * wanted, month = day * data.days_per_month;
      const saved = now.usd_per_request * wanted * data.days_per_month - month;
      cells.push([a.short, usd(day), usd(month), a === now ? "-" : usd(saved), standing(a)]);
    });
    byId("scaled").replaceChildren(...cells.map(([name, ...row], i) => {
      const tr = document.createElement("tr");
      const cell = (text) => {
        const td = document.createElement(i ? "td" : "th");
        td.textContent = text;
        return td;
      };
      tr.append(...[name, ...row.slice(0, 3)].map(cell));
      if (row[3]) {
        const tag = document.createElement("span");
        tag.className = row[3] === "cheapest at the targets" ? "tag good" : "tag";
        tag.textContent = row[3];
        tr.firstChild.append(" ", tag);
      }
      return tr;
    }));
  }

  // -- controls ---------------------------------------------------------------------------------

  function fill(id, options, wanted) {
    byId(id).replaceChildren(...options.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      return option;
    }));
    if (options.some(([value]) => value === wanted)) byId(id).value = wanted;
  }
  const same = (names) => names.map((name) => [name, name]);
  const named = (agents) => agents.map((name) => [name, short(name)]);

  function overTime() {
    const looked = chosen();
    document.querySelector(".pair").classList.toggle("single", !looked.runs[1]);
    timeline("time-a", looked.runs[0], looked);
    timeline("time-b", looked.runs[1], looked);
    fleet("fleet-a", looked.runs[0], looked);
    fleet("fleet-b", looked.runs[1], looked);
    events(looked);
  }
  function perTrace() {
    overTime();
    latency();
    cost();
  }
  function everything() {
    pareto();
    if (drawn.length) perTrace();
  }

  const names = data.agents.map((a) => a.name);
  const drawn = names.filter((name) => data.runs.some((r) => r.agent === name));
  document.querySelectorAll(".of-runs").forEach((part) => { part.hidden = !drawn.length; });
  byId("no-runs").hidden = drawn.length > 0;
  const one = data.traces.length < 2;
  document.querySelectorAll(".of-traces").forEach((part) => { part.hidden = one; });
  fill("service", data.service);
  fill("trace", same(data.traces));
  fill("trace-b", [["", "the same"], ...same(data.traces)]);
  fill("endpoint", [["", "all together"], ...same(data.endpoints)]);
  // The best planner beside the best rule; where there are none, the cheapest beside the next one.
  const order = [...data.pair, ...fair.map((a) => a.name), ...[...names].reverse()]
    .filter((name, i, all) => drawn.includes(name) && all.indexOf(name) === i);
  fill("agent-a", named(drawn), order[0]);
  fill("agent-b", [["", "none"], ...named(drawn)], narrow() ? "" : order[1]);
  fill("baseline", named(names));
  fill("latency-tier", same(data.tiers));
  fill("latency-model", [["", "all models"], ...same(data.models)]);
  byId("scale").value = Math.round(data.requests_per_day);
  const listen = (change, ...ids) => ids.forEach(
    (id) => byId(id).addEventListener(id === "scale" ? "input" : "change", change));
  listen(pareto, "service");
  listen(perTrace, "trace");
  listen(overTime, "endpoint", "agent-a", "agent-b", "trace-b");
  listen(latency, "latency-kind", "latency-tier", "latency-model");
  listen(overTime, "fleet-split");
  listen(cost, "cost-split");
  listen(scaled, "scale", "baseline");
  window.matchMedia("(max-width: 759px)").addEventListener("change", everything);
  keys();
  everything();
  scaled();
}());
