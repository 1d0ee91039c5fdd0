"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195",
    "#4d4d4d", "#a05d00", "#00876c"];
  const colour = Object.fromEntries(data.agents.map((a, i) => [a.name, palette[i % palette.length]]));
  const short = Object.fromEntries(data.agents.map((a) => [a.name, a.short]));
  const narrow = () => window.innerWidth < 760;
  const config = { responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

  function layout(extra) {
    const base = {
      margin: { l: narrow() ? 48 : 60, r: 12, t: 12, b: 44 },
      font: { family: "system-ui, sans-serif", size: narrow() ? 11 : 12, color: "#1d2733" },
      paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest",
      legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0 },
      dragmode: narrow() ? false : "zoom",
    };
    return Object.assign(base, extra);
  }
  const axis = (title, extra) => Object.assign(
    { title: { text: title, standoff: 6 }, gridcolor: "#e8ecf0", zerolinecolor: "#c8d0d8",
      automargin: true }, extra);

  function draw(id, traces, extra) {
    const bar = narrow() || id.startsWith("time") ? false : "hover";
    const options = Object.assign({}, config, { displayModeBar: bar });
    Plotly.react(byId(id), traces, layout(extra), options);
  }

  function fill(id, options, chosen) {
    const select = byId(id);
    select.replaceChildren(...options.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      return option;
    }));
    if (chosen !== undefined && options.some(([value]) => value === chosen)) {
      select.value = chosen;
    }
  }
  const same = (names) => names.map((name) => [name, name]);
  const named = (agents) => agents.map((name) => [name, short[name]]);

  // -- cost against service ---------------------------------------------------------------------

  function pareto() {
    const column = byId("service").value;
    const points = data.agents.filter((a) => column in a.mean);
    const traces = [];
    const front = [];
    let best = -Infinity;
    [...points].sort((a, b) => a.mean.cost_per_day_usd - b.mean.cost_per_day_usd).forEach((a) => {
      if (a.mean[column] > best) {
        front.push(a);
        best = a.mean[column];
      }
    });
    traces.push({ x: front.map((a) => a.mean.cost_per_day_usd),
      y: front.map((a) => 100 * a.mean[column]), mode: "lines", name: "front", hoverinfo: "skip",
      line: { color: "#9aa7b3", width: 1.5 }, showlegend: false });
    points.forEach((a) => {
      const runs = data.rows.filter((r) => r.agent === a.name && r[column] !== null);
      traces.push({ x: runs.map((r) => r.cost_per_day_usd), y: runs.map((r) => 100 * r[column]),
        text: runs.map((r) => `${a.short}<br>${r.trace}, seed ${r.seed}`), mode: "markers",
        marker: { color: colour[a.name], size: 6, opacity: 0.45 }, showlegend: false,
        hovertemplate: "%{text}<br>$%{x:,.0f} a day<br>%{y:.3f} %<extra></extra>" });
      traces.push({ x: [a.mean.cost_per_day_usd], y: [100 * a.mean[column]], name: a.short,
        mode: "markers", marker: { color: colour[a.name], size: 14, line: { width: 2 },
          symbol: a.clairvoyant ? "circle-open" : "circle" },
        hovertemplate: `${a.short}<br>$%{x:,.0f} a day<br>%{y:.3f} %<extra></extra>` });
    });
    const shapes = column in data.targets ? [{ type: "line", xref: "paper", x0: 0, x1: 1,
      y0: 100 * data.targets[column], y1: 100 * data.targets[column],
      line: { color: "#b3261e", width: 1, dash: "dash" } }] : [];
    draw("pareto", traces, { shapes, xaxis: axis("dollars per day", { tickformat: "~s",
      tickprefix: "$" }), yaxis: axis("% within objective") });
  }

  // -- over time --------------------------------------------------------------------------------

  const runOf = (agent) => data.runs.find(
    (r) => r.agent === agent && r.trace === byId("trace").value);

  // One endpoint, or all: counts are added, shares and loads averaged over active instances.
  function series(run, name) {
    const wanted = byId("endpoint").value;
    const rows = run.series[name];
    const chosen = run.endpoints.map((e, i) => [e, i])
      .filter(([e]) => wanted === "" || e === wanted || e.startsWith(wanted + "/"))
      .map(([, i]) => i);
    if (chosen.length === 1) return rows[chosen[0]];
    const shared = ["utilisation", "slo_attainment"].includes(name);
    const weight = run.series.active;
    return run.hours.map((_, t) => {
      let total = 0, sum = 0;
      chosen.forEach((i) => {
        const w = shared ? Math.max(weight[i][t], 1e-9) : 1;
        sum += w * rows[i][t];
        total += w;
      });
      return shared && total > 0 ? sum / total : sum;
    });
  }

  function timeline(id, agent) {
    const run = agent ? runOf(agent) : undefined;
    byId(id).style.display = run ? "" : "none";
    if (!run) return;
    const x = run.hours;
    const area = (name, key, fillcolor) => ({ x, y: series(run, key), name, stackgroup: "fleet",
      mode: "lines", line: { width: 0 }, fillcolor, yaxis: "y4",
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
    ];
    // Both agents are drawn on the same scale, so that they can be compared by eye.
    const shown = [byId("agent-a").value, byId("agent-b").value].map((a) => a && runOf(a))
      .filter((r) => r);
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
    const small = { tickfont: { size: narrow() ? 10 : 11 } };
    draw(id, traces, {
      title: { text: `<b>${short[agent]}</b>, seed ${run.seed}`, x: 0.02, y: 0.985, font: { size: 13 } },
      margin: { l: narrow() ? 48 : 60, r: 10, t: narrow() ? 64 : 34, b: 40 }, hovermode: "x unified",
      legend: { orientation: "h", y: 1.0, yanchor: "bottom", x: 1, xanchor: "right",
        font: { size: narrow() ? 10 : 11 } },
      xaxis: axis("hours", { anchor: "y" }),
      yaxis: axis("attained %", { domain: [0, 0.2],
        range: [Math.max(0, 100 * lowest - 2), 101], ...small }),
      yaxis2: axis("queued tokens", { domain: [0.26, 0.44],
        range: top("queued_prompt_tokens"), ...small }),
      yaxis3: axis("load", { domain: [0.5, 0.68], range: top("utilisation"), ...small }),
      yaxis4: axis("instances", { domain: [0.74, 1], range: instances, ...small }),
    });
  }

  function events() {
    const traces = [];
    const wanted = byId("endpoint").value;
    [byId("agent-a").value, byId("agent-b").value].filter((a, i, all) => a && all.indexOf(a) === i)
      .forEach((agent) => {
        const run = runOf(agent);
        if (!run) return;
        const pick = (rows) => rows[0].map((_, h) => rows.reduce((sum, row, e) => sum
          + (wanted === "" || run.endpoints[e] === wanted
            || run.endpoints[e].startsWith(wanted + "/") ? row[h] : 0), 0));
        const outs = pick(run.scale_outs), ins = pick(run.scale_ins);
        const hours = outs.map((_, h) => h + 0.5);
        const bar = { type: "bar", x: hours, marker: { color: colour[agent] }, name: short[agent],
          legendgroup: agent, offsetgroup: agent };
        traces.push({ ...bar, y: outs, hovertemplate: `%{y} out<extra>${short[agent]}</extra>` });
        traces.push({ ...bar, y: ins.map((v) => -v), showlegend: false, opacity: 0.55,
          customdata: ins, hovertemplate: `%{customdata} in<extra>${short[agent]}</extra>` });
      });
    draw("events", traces, { barmode: "relative", bargap: 0.15, xaxis: axis("hours"),
      yaxis: axis("instances per hour") });
  }

  // -- latency ----------------------------------------------------------------------------------

  function latency() {
    const kind = byId("latency-kind").value, tier = byId("latency-tier").value;
    const model = byId("latency-model").value, trace = byId("trace").value;
    const traces = data.latency
      .filter((d) => d.kind === kind && d.tier === tier && d.model === model && d.trace === trace)
      .map((d) => ({ x: d.seconds, y: data.levels.map((q) => 100 * (1 - q)), name: short[d.agent],
        mode: "lines", line: { color: colour[d.agent], width: 2, shape: "hv" },
        hovertemplate: `%{y:.3~g} % longer than %{x:.3~g} s<extra>${short[d.agent]}</extra>` }));
    draw("latency", traces, { xaxis: axis("seconds", { type: "log" }),
      yaxis: axis("% that took longer", { type: "log", range: [-2, 2] }) });
  }

  // -- cost -------------------------------------------------------------------------------------

  function cost() {
    const split = byId("cost-split").value;
    const trace = byId("trace").value;
    const rows = data.costs.filter((c) => c.trace === trace);
    const names = split === "model" ? data.models : data.regions;
    const traces = names.map((name, i) => ({ type: "bar", name, x: rows.map((c) => short[c.agent]),
      y: rows.map((c) => c[split][i]), marker: { color: palette[i % palette.length] },
      hovertemplate: `%{x}<br>${name}: $%{y:,.0f} a day<extra></extra>` }));
    draw("cost", traces, { barmode: "stack", bargap: 0.4, xaxis: axis("", { type: "category" }),
      yaxis: axis("dollars per day", { tickformat: "~s", tickprefix: "$" }) });
  }

  function scaled() {
    const wanted = Number(byId("scale").value);
    const table = byId("scaled");
    const usd = (v) => (v < -0.5 ? "-$" : "$") + Math.abs(Math.round(v)).toLocaleString("en-US");
    const best = data.agents.filter((a) => a.attains && !a.clairvoyant)
      .sort((a, b) => a.usd_per_request - b.usd_per_request)[0];
    const now = data.agents.find((a) => a.name === byId("baseline").value);
    const cells = [["agent", "$ a day", "$ a month", "saves a month", ""]];
    if (wanted > 0) {
      data.agents.forEach((a) => {
        const day = a.usd_per_request * wanted, month = day * data.days_per_month;
        const saved = now.usd_per_request * wanted * data.days_per_month - month;
        const last = a === best ? "cheapest" : a.clairvoyant ? "knows the future"
          : a.attains ? "attains the targets" : "misses a target";
        cells.push([a.short, usd(day), usd(month), a === now ? "-" : usd(saved), last]);
      });
    }
    table.replaceChildren(...cells.map((row, i) => {
      const tr = document.createElement("tr");
      tr.append(...row.map((text) => {
        const cell = document.createElement(i ? "td" : "th");
        cell.textContent = text;
        return cell;
      }));
      return tr;
    }));
  }

  // -- controls ---------------------------------------------------------------------------------

  function overTime() {
    const first = byId("agent-a").value, second = byId("agent-b").value;
    document.querySelector(".pair").classList.toggle("single", !second || !runOf(second));
    timeline("time-a", first);
    timeline("time-b", second);
    events();
  }
  function perTrace() {
    overTime();
    latency();
    cost();
  }

  const names = data.agents.map((a) => a.name);
  const drawn = names.filter((name) => data.runs.some((r) => r.agent === name));
  fill("service", data.service, data.service.length ? data.service[0][0] : undefined);
  fill("trace", same(data.traces));
  fill("endpoint", [["", "all together"], ...same(data.endpoints)]);
  const cheapest = data.agents.filter((a) => a.attains && !a.clairvoyant)
    .sort((a, b) => a.mean.cost_per_day_usd - b.mean.cost_per_day_usd).map((a) => a.name)[0];
  const first = drawn.includes(cheapest) ? cheapest : drawn[drawn.length - 1];
  const others = drawn.filter((name) => name !== first);
  fill("agent-a", named(drawn), first);
  fill("agent-b", [["", "none"], ...named(drawn)], narrow() ? "" : others[others.length - 1]);
  fill("baseline", named(names), names[0]);
  fill("latency-tier", same(data.tiers));
  fill("latency-model", [["", "all models"], ...same(data.models)]);
  byId("scale").value = Math.round(data.requests_per_day);
  byId("service").addEventListener("change", pareto);
  byId("trace").addEventListener("change", perTrace);
  ["endpoint", "agent-a", "agent-b"].forEach((id) => byId(id).addEventListener("change", overTime));
  ["latency-kind", "latency-tier", "latency-model"].forEach(
    (id) => byId(id).addEventListener("change", latency));
  byId("cost-split").addEventListener("change", cost);
  byId("scale").addEventListener("input", scaled);
  byId("baseline").addEventListener("change", scaled);
  pareto();
  perTrace();
  scaled();
}());
