use super::super::bound::Bound;
use super::super::fingerprint::tests::example;
use super::super::limits::Limits;
use super::super::table::Test;
use super::super::verdict::tests::good_checks;
use super::super::verdict::{Grade, Named};
use super::*;
use crate::base::stats;
use proptest::prelude::*;

/// The delays of a display at 60 Hz that is looked at 240 times a second, ms: a sawtooth of beats, noise, a few late ones.
pub fn delays(count: usize, base_ms: f64, late_ms: f64) -> Vec<f64> {
    let mut seed = 9u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(seed >> 8) / f64::from(1u32 << 24)
    };
    let each = |i: usize, noise: f64| base_ms + 4.17 * noise + if i % 331 == 70 { late_ms } else { 0.0 };
    (0..count).map(|i| each(i, noise())).collect()
}

fn summary(ms: &[f64]) -> Option<Summary> {
    let mut delays = stats::Delays::default();
    ms.iter().for_each(|ms| delays.record_ns((ms * 1e6) as u64));
    Some(delays.summary())
}

fn set(report: &mut Report, check: Check) {
    report.checks.retain(|other| other.code != check.code);
    report.checks.push(check);
}

/// A report as a loop would fill it: by numbers of a machine that does not exist.
pub fn filled(loop_kind: Loop, form: Form, cable_ms: f64, late_ms: f64) -> Report {
    let limits = Limits::shipped();
    let mut report =
        Report::new(loop_kind, form, Mode::Clinical, Stamp::parse("2026-11-22T06:51:09Z").unwrap(), "5f0c6a3e-61b0-4f0e-9d0e-2b6a44ad7c11");
    let count = if form == Form::Full { 10_800 } else { 540 };
    let (cable, video) =
        (delays(count, cable_ms, late_ms), delays(count, 1.2, late_ms / 40.0).iter().map(|ms| ms * 0.7).collect::<Vec<_>>());
    report.seconds = if form == Form::Full { 71.4 } else { 9.4 };
    report.checks = good_checks(loop_kind, form);
    for check in [
        Check::frames(count as u64, form, &limits),
        Check::delay(Test::CableToCable, &cable, form, &limits),
        Check::delay(Test::VideoDelay, &video, form, &limits),
        Check::delay(Test::AnnotationDelay, &delays(count * 2 / 3, 14.0, 20.0), form, &limits),
        Check::measured(Test::Explained, 0.4, &limits),
        Check::duration(report.seconds, form, &limits),
        Check::measured(Test::Repeated, 0.0, &limits),
        Check::measured(Test::Refresh, -0.004, &limits),
        Check::measured(Test::CaptureRate, 240.1, &limits),
        Check::measured(Test::Colours, 1.8, &limits).with_detail("worst: magenta, green channel"),
        Check::measured(Test::Geometry, 0.12, &limits),
        Check::against(
            Test::EngineGolden,
            0.9994,
            &limits.get("golden_agreement").unwrap().tightened(Bound::AtLeast(0.995), "the manifest of surgical-cpu").unwrap(),
        ),
        Check::found(Test::EngineVerified, true, "surgical-cpu, signed by 'Example Medical, line 2'"),
        Check::found(Test::ClockSource, true, "tsc"),
        Check::found(Test::SourceSignal, true, "1920x1080, 59.94 Hz, UYVY"),
        Check::found(Test::Audit, true, "41,327 records"),
    ] {
        set(&mut report, check);
    }
    report.device = [
        ("product", "keyhole demonstration unit"),
        ("serial number", "KH-0017"),
        ("display", "EIZO EX3242, DP-1, 1920x1080@60.00"),
        ("capture card", "DeckLink Duo 2, input 2"),
        ("processor", "Intel Xeon E-2278GE, 8 cores"),
        ("kernel", "6.1.0-28-amd64"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    report.fingerprint = example();
    report.delays_ms = Delays {
        cable_to_cable: summary(&cable),
        video: summary(&video),
        annotation: summary(&delays(count * 2 / 3, 14.0, 20.0)),
        annotation_inside: summary(&delays(count * 2 / 3, 13.0, 20.0)),
        jitter: summary(&delays(count, 0.1, 3.0).iter().map(|ms| ms * 0.1).collect::<Vec<_>>()),
        machine_stall: summary(&delays(count, 0.05, 1.0).iter().map(|ms| ms * 0.05).collect::<Vec<_>>()),
    };
    report.resolution_ms = Some(4.17);
    let stage = |name: &str, ms: f64| Stage { name: name.to_owned(), ms };
    let total = report.delays_ms.cable_to_cable.as_ref().unwrap().p50;
    let stages = vec![
        stage("handover", 0.2),
        stage("overlay", 0.4),
        stage("compose", 0.7),
        stage("present", 0.6),
        stage("frame clock", 8.3),
        stage("wire and capture", ((total - 11.9) * 1e3).round() / 1e3),
    ];
    report.explained = Some(Explained::of(total, stages));
    let sent = count as u64;
    report.counts = Counts { sent, seen: sent, looks: 4 * sent, ..Counts::default() };
    report.refresh = Some(Refresh { stated_hz: 60.0, measured_hz: 59.9976 });
    let bar = |name: &str, expected: [f32; 3], seen: [f32; 3]| BarLine { name: name.to_owned(), expected, seen };
    let bars = vec![
        bar("white", [191.0; 3], [191.0, 190.0, 191.0]),
        bar("yellow", [191.0, 191.0, 0.0], [190.0, 191.0, 1.0]),
        bar("magenta", [191.0, 0.0, 191.0], [191.0, 1.8, 190.0]),
    ];
    report.colours = Some(Colours { error_levels: 1.8, fault: None, bars });
    report.geometry = Some(Geometry { scale_x: 1.0004, scale_y: 0.9998, shift_x_px: 0.2, shift_y_px: -0.1, rotation_deg: 0.0 });
    report.set_series(&cable.iter().enumerate().map(|(i, &ms)| [i as f64 * report.seconds / count as f64, ms]).collect::<Vec<_>>());
    report
}

pub fn passed() -> Report {
    let mut report = filled(Loop::Cable, Form::Full, 28.0, 6.0);
    report.checks.push(Check::against(Test::Temperature, 61.0, &with_set_limit("temperature_c", Bound::AtMost(85.0))));
    let mut known = Check::against(Test::KnownAnswer, 0.93, &with_set_limit("known_answer_dice", Bound::AtLeast(0.9)));
    known.detail = "instruments in 24 pictures".into();
    set(&mut report, known);
    report.site_limits =
        Some("Dr. A. Example, biomedical engineering, 2026-10-30: theatre 2 as commissioned; signed by 'St. Example Hospital'".into());
    report.judge(30.0);
    report
}

pub fn limited() -> Report {
    let limits = Limits::shipped();
    let mut report = filled(Loop::X11, Form::Quick, 26.0, 9.0);
    let video = delays(540, 4.6, 11.0);
    set(&mut report, Check::delay(Test::VideoDelay, &video, Form::Quick, &limits));
    report.delays_ms.video = summary(&video);
    set(&mut report, Check::measured(Test::Temperature, 61.0, &limits));
    set(&mut report, Check::measured(Test::Torn, 0.3, &limits));
    report.counts.torn = 6;
    report.last_cable_proof = Stamp::parse("2026-11-04T10:00:00Z");
    report.changes = vec!["the engine surgical-cpu has changed since the last full self-test".into()];
    report.judge(30.0);
    report
}

pub fn failed() -> Report {
    let limits = Limits::shipped();
    let mut report = filled(Loop::Cable, Form::Quick, 44.0, 71.0);
    let off = Check::measured(Test::Colours, 41.0, &limits).with_detail("Y'CbCr of BT.601 decoded as BT.709; worst: green");
    report.colours = Some(Colours { error_levels: 41.0, fault: Some("Y'CbCr of BT.601 decoded as BT.709".into()), bars: Vec::new() });
    set(&mut report, off);
    set(&mut report, Check::found(Test::EngineVerified, false, "surgical-cpu: model.onnx is not the file that its manifest locks"));
    set(&mut report, Check::not_run(Test::EngineGolden, "the engine was refused"));
    set(&mut report, Check::measured(Test::Missing, 0.19, &limits));
    report.counts = Counts { seen: 539, missing: 1, ..report.counts };
    report.changes = vec!["the display's mode has changed since the last full self-test".into()];
    report.last_cable_proof = Stamp::parse("2026-09-01T10:00:00Z");
    report.judge(30.0);
    report
}

#[test]
fn the_samples_are_graded_as_their_checks_say() {
    assert_eq!(passed().verdict.grade, Grade::Pass, "{:?}", passed().verdict);
    assert_eq!(passed().cable_proof_until.unwrap().words(), "2026-12-22 06:51 UTC");
    let limited = limited();
    let codes = |named: &[Named]| named.iter().map(|named| named.code.clone()).collect::<Vec<_>>();
    assert_eq!(
        (limited.verdict.grade, codes(&limited.verdict.limits)),
        (Grade::PassWithLimits, ["ST-D12", "ST-F24", "ST-M56", "ST-L01"].map(str::to_owned).into())
    );
    assert_eq!(limited.cable_proof_until.unwrap().words(), "2026-12-04 10:00 UTC");
    let failed = failed();
    assert_eq!(
        (failed.verdict.grade, codes(&failed.verdict.failures)),
        (Grade::Fail, ["ST-D11", "ST-P31", "ST-E41", "ST-E42"].map(str::to_owned).into())
    );
    assert_eq!(codes(&failed.verdict.limits), ["ST-F21"]);
}

#[test]
fn a_report_is_written_whole_and_read_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for (name, report) in [("pass", passed()), ("limited", limited()), ("failed", failed())] {
        let path = folder.path().join(format!("{name}.json"));
        report.write(&path).unwrap();
        assert!(Report::read(&path).unwrap() == report, "{name}: what is read is not what was written");
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((json["schema"].as_str(), json["loop"].as_str()), (Some(SCHEMA), Some(report.loop_kind.name())));
        assert!(report.delay_series.len() <= MOST_POINTS && json["checks"][0]["result"].is_string());
        let sum: u64 = report.histogram.iter().map(|bin| bin.count).sum();
        assert_eq!(sum, report.delays_ms.cable_to_cable.as_ref().unwrap().count);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let error = passed().write(&folder.path().join("none/report.json")).unwrap_err();
    assert!(error.to_string().contains("report.json"), "{error}");
}

#[test]
fn a_report_whose_verdict_was_bettered_or_that_is_cut_off_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    failed().write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for (text, named) in [
        (text.replacen("\"grade\": \"fail\"", "\"grade\": \"pass\"", 1), "verdict"),
        (text.replacen("\"result\": \"fail\"", "\"result\": \"pass\"", 1), "verdict"),
        (text[..text.len() / 2].to_owned(), "EOF"),
        (text.replacen(SCHEMA, "keyhole.selftest/2", 1), "schema"),
        (text.replacen("\"seconds\"", "\"secs\"", 1), "secs"),
        (text.replacen("2026-11-22T06", "2026-11-22 06", 1), "RFC 3339"),
        (String::new(), "EOF"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Report::read(&path).unwrap_err();
        assert!(matches!(error, ReportError::Damaged { .. }) && error.to_string().contains(named), "{named}: {error}");
    }
    assert!(matches!(Report::read(&folder.path().join("none")), Err(ReportError::Read { .. })));
}

#[test]
fn what_is_not_explained_is_the_total_less_its_stages() {
    let stage = |ms| Stage { name: "a".into(), ms };
    let explained = Explained::of(30.0, vec![stage(10.0), stage(16.0)]);
    assert_eq!(
        (explained.unexplained_ms, explained.unexplained_resolutions(4.0), explained.unexplained_resolutions(0.0)),
        (4.0, Some(1.0), None)
    );
    assert_eq!(Explained::of(3.0, vec![stage(5.0)]).unexplained_resolutions(1.0), Some(2.0));
}

/// A limit that a site has set.
fn with_set_limit(id: &str, bound: Bound) -> super::super::limits::Limit {
    Limits::shipped().get(id).unwrap().tightened(bound, "set by the site").unwrap()
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    /// One byte of a report becomes another one: it is refused, or its verdict is still what its checks say.
    #[test]
    fn no_changed_byte_betters_a_verdict(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        static TEXT: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| serde_json::to_vec(&Report { delay_series: Vec::new(), ..failed() }).unwrap());
        let mut bytes = TEXT.clone();
        let index = at.index(bytes.len());
        bytes[index] = to;
        if let Ok(report) = parse(&bytes) {
            prop_assert_eq!(report.verdict.grade, Grade::Fail);
        }
    }
}
