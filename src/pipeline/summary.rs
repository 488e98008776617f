//! The report: what the rooms left behind, as the contract writes it.

use crate::guard::Gate;
use crate::link::Rejection;
use crate::pipeline::running::Leftovers;
use crate::pipeline::scheduling;
use crate::record::{CadenceLine, CaseLine, EngineLine, Frames, GateLine, Report, SourceLine, Stages};
use std::sync::atomic::{AtomicU64, Ordering};

pub fn of(left: Leftovers) -> Report {
    let Leftovers {
        spec,
        info,
        mut engines,
        backend,
        counters,
        captured,
        shown,
        analysis,
        stalls,
        counts,
        restarts,
        has_fallen_back,
        introduction,
        home,
        fps_without_gpu,
        mut losses,
        seconds,
        start_ns,
        end_ns,
        gate,
        case,
        loop_through,
    } = left;
    if let Some(introduction) = introduction {
        // The last one that answered says where it runs.
        if let (Some(engine), Ok(said)) = (engines.last_mut(), serde_json::from_value::<EngineLine>(introduction.engines)) {
            engine.device = said.device;
        }
        let sandbox = introduction.sandbox;
        scheduling::note_granted(&format!(
            "worker: nice {}, landlock ABI {}, seccomp {}",
            spec.config.link.nice, sandbox.landlock_abi, sandbox.seccomp
        ));
    }
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let frames = Frames {
        captured: read(&counters.captured),
        displayed: shown.counters.displayed,
        repeated: shown.counters.repeated,
        rate_slip: shown.cadence.as_ref().map_or(0, |cadence| cadence.counts.rate_slip),
        dropped_capture: [&counters.dropped_late, &counters.dropped_ring_full, &counters.dropped_device].map(read).iter().sum(),
        dropped_display: read(&counters.dropped_display) + shown.counters.failed,
        inferred: counts.inferred,
        inference_skipped: counts.skipped() + counts.lost,
    };
    let mut lose = |reason: &str, count: u64| {
        if count > 0 {
            losses.insert(reason.to_owned(), count);
        }
    };
    lose("capture_decoder_late", read(&counters.dropped_late));
    lose("capture_ring_full", read(&counters.dropped_ring_full));
    lose("capture_device_failed", read(&counters.dropped_device));
    lose("display_slot_full", read(&counters.dropped_display));
    lose("display_failed", shown.counters.failed);
    lose("inference_busy", counts.skipped_busy);
    lose("inference_worker_down", counts.skipped_down + counts.lost);
    lose("inference_overwritten", counts.overwritten);
    lose("inference_without_scene", counts.without_scene);
    for why in Rejection::ALL {
        lose(&format!("worker_{}", why.name()), counts.rejected_for(why));
    }
    lose("scenes_moved_hidden", shown.counters.scenes_moved_hidden);
    let cadence = shown.cadence.map(|cadence| CadenceLine {
        refresh_hz: cadence.refresh_hz,
        repeats: cadence.counts.repeats,
        missed: cadence.counts.missed,
        wait_ms: cadence.wait.summary(),
        sawtooth_s: sawtooth_s(info.fps, cadence.refresh_hz),
    });
    let (states, alarms) = crate::pipeline::state::lines(&shown.states);
    Report {
        schema: crate::record::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("KEYHOLE_COMMIT"),
        mode: spec.config.mode.name(),
        scheduling: scheduling::summary(),
        source: SourceLine {
            uri: info.uri,
            width: info.width,
            height: info.height,
            fps: info.fps,
            format: info.format,
            latency_ms: info.latency_ns as f64 / 1e6,
            device: home.and_then(|home| home.line()),
            fps_without_gpu,
        },
        backend: backend.name(),
        adapter: shown.output.adapter,
        compositor: shown.output.compositor,
        display: shown.output.display.to_owned(),
        wiring: spec.config.wiring.name(),
        engines,
        frames,
        losses,
        video_delay_ms: shown.delays.video.summary(),
        presentation_delay_ms: (shown.delays.presentation.count() > 0).then(|| shown.delays.presentation.summary()),
        annotation_delay_ms: shown.delays.annotation.summary(),
        overlay_age_ms: shown.delays.overlay_age.summary(),
        machine_stall_ms: stalls.late.summary(),
        machine_stalls: stalls.events,
        stages_ms: Stages {
            decode: captured.decode.summary(),
            upload: captured.upload.summary(),
            preprocess: analysis.preprocess.summary(),
            infer: analysis.infer.summary(),
            track: analysis.track.summary(),
            handover: shown.delays.handover.summary(),
            overlay: shown.delays.overlay.summary(),
            compose: shown.delays.compose.summary(),
            present: shown.delays.present.summary(),
        },
        scenes_stale_hidden: shown.counters.scenes_stale_hidden,
        states,
        alarms,
        audit: None,
        seconds,
        start_ns,
        peak_rss_mb: scheduling::peak_rss_mb(),
        first_picture_ms: shown
            .first_present_ns
            .map(|ns| ns.saturating_sub(end_ns.saturating_sub(scheduling::process_age_ns())) as f64 / 1e6),
        worker_restarts: restarts,
        worker_fallbacks: has_fallen_back.into(),
        live_proofs: counts.proofs,
        gate: gate.as_ref().map(gate_line),
        case: case.map(|case| CaseLine { id: case.id, is_resumed: case.is_resumed }),
        cadence,
        loop_through,
    }
}

/// The time in which a source's pictures drift through one period of the monitor, or of the nearest multiple of its own rate.
fn sawtooth_s(fps: f64, refresh_hz: f64) -> Option<f64> {
    let multiple = (refresh_hz / fps).round().max(1.0);
    let drift_hz = (refresh_hz - multiple * fps).abs();
    (drift_hz > 1e-6).then(|| 1.0 / drift_hz)
}

fn gate_line(gate: &Gate) -> GateLine {
    let (block, named) = match gate {
        Gate::Allowed => (None, &[][..]),
        Gate::AllowedWithLimits(named) => (None, &named[..]),
        Gate::Blocked(block) => (Some(block), &[][..]),
    };
    GateLine {
        is_allowed: gate.is_allowed(),
        code: block.map(|block| block.code().to_owned()),
        words: block.map(ToString::to_string),
        limits: named.iter().map(|named| (named.code.clone(), named.words.clone())).collect(),
    }
}
