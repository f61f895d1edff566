"""Translates the bounded flows for Dataflow, which is not asked; prints the steps of each as JSON."""

import json
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from wgtwo_pipeline import flows
from wgtwo_pipeline.erase.rooms import EraseSettings
from wgtwo_pipeline.lake.epochs import Limits
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.publish.rooms import PublishSettings

LAKE = LakeLocation("s3://my-bucket/wgtwo")
FLOWS = {
    "publish": (flows.publish, PublishSettings(LAKE, "writer", Parameters(""), Limits(), 3600)),
    "erase": (flows.erase, EraseSettings(LAKE, 1, 1)),
}


def steps(flow, settings):
    pipeline = beam.Pipeline(options=PipelineOptions(sys.argv[1:]))
    flow(pipeline, settings)
    job = pipeline.run().job
    transforms = job.proto_pipeline.components.transforms.values()
    return sorted(each.unique_name for each in transforms if each.unique_name)


print(json.dumps({name: steps(*flow) for name, flow in FLOWS.items()}))  # noqa: T201
