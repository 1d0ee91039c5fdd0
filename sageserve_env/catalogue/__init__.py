"""What can be deployed where: models, GPU VMs, regions and their measured constants."""

from sageserve_env.catalogue.gpus import GPUS, GpuType
from sageserve_env.catalogue.models import MODELS, Model
from sageserve_env.catalogue.profiles import LatencyProfile
from sageserve_env.catalogue.regions import REGIONS, round_trip_s

__all__ = ["GPUS", "MODELS", "REGIONS", "GpuType", "LatencyProfile", "Model", "round_trip_s"]
