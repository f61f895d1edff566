"""The ingest flow's graph: nothing in it makes a runner hold deliveries back between the stream and the ack."""

import tempfile
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.portability.common_urns import primitives, sdf_components
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from wgtwo_pipeline import flows
from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Start, Terms
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.ingest.subscribe import Groups
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import Service


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(
        tempfile, "tempdir", str(tmp_path)
    )  # Beam leaves the folder of a pipeline that never runs
    settings = IngestSettings(
        Service("127.0.0.1:1", plaintext=True),
        LakeLocation(str(tmp_path)),
        Terms(("sms",), "queue", "durable", 50, 30.0),
        Start(),
    )
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"], streaming=True))
    flows.ingest(pipeline, settings, [Member(api.V0, "v0.durable", index) for index in range(2)])
    return pipeline.to_runner_api()


def pardos(graph: Any) -> dict[str, Any]:
    return {
        each.unique_name: beam_runner_api_pb2.ParDoPayload.FromString(each.spec.payload)
        for each in graph.components.transforms.values()
        if each.spec.urn == primitives.PAR_DO.urn
    }


def test_ingest_has_no_shuffle_window_or_anything_but_pardos(graph):
    """One impulse and four ParDos: no shuffle, combine, flatten or side input, only the global window."""
    transforms = [each for each in graph.components.transforms.values() if each.spec.urn]
    assert sorted(each.spec.urn for each in transforms) == sorted(
        [primitives.IMPULSE.urn, *[primitives.PAR_DO.urn] * 4]
    )
    assert set(pardos(graph)) == {"Members", "Subscribe", "Journal", "Ack"}
    assert not any(payload.side_inputs for payload in pardos(graph).values())
    windowings = [each.window_fn.urn for each in graph.components.windowing_strategies.values()]
    assert windowings == ["beam:window_fn:global_windows:v1"]


def test_ingest_has_no_state_timer_or_finalizer(graph):
    """What a runner could forget or hold back is not there; the only splittable DoFn is the subscription."""
    for payload in pardos(graph).values():
        assert not payload.state_specs
        assert not payload.timer_family_specs
        assert not payload.requires_stable_input
        assert not payload.requires_time_sorted_input
        assert not payload.requests_finalization
    assert [name for name, payload in pardos(graph).items() if payload.restriction_coder_id] == ["Subscribe"]


def test_ingest_is_fused_into_one_stage_from_the_stream_to_the_ack(graph):
    """The in-process runner's own optimizer: the source's split comes first, then one stage to the end."""
    _, stages = FnApiRunner().create_stages(graph)
    first, second = (
        [each.unique_name for each in stage.transforms if "runner" not in each.spec.urn] for stage in stages
    )
    assert first == ["Members", "Subscribe/PairWithRestriction", "Subscribe/SplitAndSizeRestriction"]
    assert second == ["Subscribe/Process", "Journal", "Ack"]
    urns = {each.spec.urn for each in stages[1].transforms if "runner" not in each.spec.urn}
    assert urns == {sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn, primitives.PAR_DO.urn}


def test_a_runner_cannot_have_two_bundles_read_one_stream():
    """Prism asks to halve whatever takes long; only handing over all that is left is granted."""
    tracker = Groups().create_tracker(OffsetRange(0, 2**62))
    assert tracker.try_claim(0)
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(1)
    assert tracker.try_split(0) == (OffsetRange(0, 2), OffsetRange(2, 2**62))
    assert not tracker.try_claim(2)


def test_the_restriction_is_encoded_as_ever():
    """A checkpoint taken by one version is read by the next."""
    coder = Groups().restriction_coder()
    encoded = bytes.fromhex("00000000000000074000000000000000")
    assert coder.encode(OffsetRange(7, 2**62)) == encoded
    assert coder.decode(encoded) == OffsetRange(7, 2**62)
    assert Groups().initial_restriction(None) == OffsetRange(0, 2**62)  # type: ignore[arg-type]
