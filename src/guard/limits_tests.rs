use super::*;
use proptest::prelude::*;

const SITE: &str = "schema = \"keyhole.site-limits/1\"\nby = \"Dr. A\"\ndate = \"2026-11-22\"\nwhy = \"theatre 2\"\n";

fn row(id: &str, value: &str) -> String {
    format!("[[limit]]\nid = \"{id}\"\nvalue = {value}\n")
}

fn with_site(rows: &str) -> Result<Limits, LimitsError> {
    let mut limits = Limits::shipped();
    limits.with_site("site.toml", &format!("{SITE}{rows}"))?;
    Ok(limits)
}

#[test]
fn the_shipped_limits_are_those_that_the_product_states() {
    let limits = Limits::shipped();
    let of = |id: &str| limits.get(id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!((of("video_delay_ms").default, of("video_delay_ms").may_site_set), (Some(Bound::AtMost(5.75)), true));
    let annotation = of("annotation_delay_ms");
    assert_eq!(
        (annotation.hard, annotation.default, annotation.may_site_set),
        (Some(Bound::AtMost(120.0)), Some(Bound::AtMost(100.0)), false)
    );
    assert!(of("end_to_end_ms").hard.unwrap().ends().1 < 100.0);
    assert_eq!(of("cable_proof_days").hard, Some(Bound::AtMost(30.0)));
    assert_eq!((of("pixels_changed").hard, of("reordered").hard), (Some(Bound::AtMost(0.0)), Some(Bound::AtMost(0.0))));
    assert_eq!((limits.number("quick_frames"), limits.number("full_frames")), (Some(500.0), Some(4_000.0)));
    assert_eq!(annotation.words(), "at most 100\u{a0}ms (never over 120\u{a0}ms)");
    assert_eq!(of("temperature_c").words(), "not set yet");
    for limit in limits.iter() {
        assert!(limit.in_force().is_some() || limit.source.contains("commissioning"), "{}: who sets it?", limit.id);
    }
}

#[test]
fn a_site_narrows_every_limit_and_widens_those_that_say_so_up_to_the_hard_one() {
    let limits = with_site(&(row("video_delay_ms", "18") + &row("annotation_delay_ms", "80.0") + &row("temperature_c", "85"))).unwrap();
    let of = |id: &str| limits.get(id).unwrap();
    assert_eq!(of("video_delay_ms").in_force(), Some(Bound::AtMost(18.0)));
    assert_eq!(of("video_delay_ms").failing(), Some(Bound::AtMost(18.0)), "what a site has signed is hard there");
    assert_eq!(of("annotation_delay_ms").in_force(), Some(Bound::AtMost(80.0)));
    assert_eq!(of("temperature_c").in_force(), Some(Bound::AtMost(85.0)));
    assert!(of("video_delay_ms").source.contains("Dr. A") && of("video_delay_ms").source.contains("DEN200055"));
    for (id, value) in [
        ("video_delay_ms", "50.1"),
        ("annotation_delay_ms", "100.1"),
        ("end_to_end_ms", "100"),
        ("quick_frames", "499"),
        ("refresh_error_percent", "[-0.5, 0.6]"),
        ("pixels_changed", "1"),
        ("cable_proof_days", "31"),
    ] {
        let error = with_site(&row(id, value)).unwrap_err();
        let said = error.to_string();
        assert!(
            matches!(error, LimitsError::Loosened { .. }) && said.contains(id) && said.contains("site.toml") && said.contains("allowed"),
            "{said}"
        );
    }
}

#[test]
fn a_site_s_nonsense_is_named_and_changes_nothing() {
    for (rows, named) in [
        (row("speed", "1"), "speed"),
        (row("video_delay_ms", "nan"), "video_delay_ms"),
        (row("video_delay_ms", "[1.0, 2.0]"), "one number"),
        (row("refresh_error_percent", "[0.1, -0.1]"), "lower one first"),
        (row("video_delay_ms", "9") + &row("video_delay_ms", "8"), "twice"),
        (row("video_delay_ms", "9") + "unit = \"s\"\n", "unit"),
        ("limits = 1\n".to_owned(), "limits"),
    ] {
        let error = with_site(&rows).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("site.toml"), "{named}: {error}");
    }
    let mut limits = Limits::shipped();
    assert!(limits.with_site("s", &format!("{SITE}{}{}", row("video_delay_ms", "9"), row("pixels_changed", "9"))).is_err());
    assert_eq!(limits, Limits::shipped(), "all of it or nothing");
    let no_author = SITE.replace("Dr. A", " ");
    assert!(limits.with_site("s", &format!("{no_author}{}", row("video_delay_ms", "9"))).unwrap_err().to_string().contains("by"));
}

#[test]
fn an_installed_copy_may_be_lost_and_reworded_and_never_differ() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.toml");
    let load = || Limits::load(Some(&path), None, Mode::Clinical, &[]);
    assert_eq!(load().unwrap(), Limits::shipped(), "a lost file loosens nothing");
    let written = |text: String| std::fs::write(&path, text).unwrap();
    written(SHIPPED.to_owned());
    assert_eq!(load().unwrap(), Limits::shipped());
    written(SHIPPED.replace("# ---- what the picture looks like", "# a note of ours"));
    load().unwrap();
    for (from, to, id, compiled, found) in [
        ("default = 5.75", "default = 9.5", "video_delay_ms", "5.75", "9.5"),
        ("hard = 30.0", "hard = 90.0", "cable_proof_days", "at most 30", "at most 90"),
        ("id = \"pixels_changed\"", "id = \"pixels\"", "pixels_changed", "at most 0", "no such limit"),
        ("hard = 500", "hard = 400", "quick_frames", "500", "400"),
    ] {
        assert!(SHIPPED.contains(from));
        written(SHIPPED.replacen(from, to, 1));
        let error = load().unwrap_err();
        let said = error.to_string();
        assert!([id, compiled, found, "limits.toml"].iter().all(|part| said.contains(part)) && error.is_finding(), "{said}");
    }
    written("schema = 1".to_owned());
    assert!(load().unwrap_err().to_string().contains("limits.toml"));
}

#[test]
fn clinical_mode_takes_a_site_s_limits_from_a_trusted_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theatre-2.toml");
    std::fs::write(&path, format!("{SITE}{}", row("video_delay_ms", "18"))).unwrap();
    let load = |mode, trusted: &[PublicKey]| Limits::load(None, Some(&path), mode, trusted);
    assert_eq!(load(Mode::Demo, &[]).unwrap().site.unwrap().seal, Seal::Unsigned);
    let key = SecretKey::generate("Site").unwrap();
    assert!(load(Mode::Clinical, &[key.public()]).unwrap_err().to_string().contains("not signed"));
    let signed = sign_site(&path, &key).unwrap();
    assert_ne!(signed.sha256, Limits::shipped().sha256);
    assert_eq!(load(Mode::Clinical, &[key.public()]).unwrap(), signed);
    let other = SecretKey::generate("Other").unwrap().public();
    assert!(matches!(load(Mode::Clinical, &[other]).unwrap_err(), LimitsError::Untrusted { .. }));
    // A changed number breaks the seal, whatever it is changed to.
    std::fs::write(&path, format!("{SITE}{}", row("video_delay_ms", "17"))).unwrap();
    for mode in [Mode::Demo, Mode::Clinical] {
        let error = load(mode, &[key.public()]).unwrap_err();
        assert!(error.is_finding() && error.to_string().contains("theatre-2"), "{error}");
    }
    sign_site(&path, &key).unwrap();
    std::fs::write(&path, format!("{SITE}{}", row("video_delay_ms", "70"))).unwrap();
    assert!(matches!(sign_site(&path, &key).unwrap_err(), LimitsError::Loosened { .. }), "nonsense is not signed");
    assert!(matches!(Limits::load(None, Some(&folder.path().join("none")), Mode::Demo, &[]), Err(LimitsError::Seal { .. })));
}

#[test]
fn each_bad_row_is_named() {
    let good = "schema = \"keyhole.limits/1\"\n[[limit]]\nid = \"a_ms\"\nwhat = \"a\"\nunit = \"ms\"\nbound = \"at most\"\nhard = 2.0\ndefault = 1.0\nsite = true\nsource = \"s\"\n";
    parse(good).unwrap();
    for (from, to, named) in [
        ("keyhole.limits/1", "keyhole.limits/2", "keyhole.limits/1"),
        ("a_ms", "A ms", "A ms"),
        ("what = \"a\"", "what = \" \"", "what"),
        ("source = \"s\"", "", "source"),
        ("at most", "at best", "at best"),
        ("hard = 2.0", "hard = [1.0, 2.0]", "hard"),
        ("hard = 2.0", "hard = inf", "hard"),
        ("hard = 2.0", "hard = 0.5", "wider"),
        ("hard = 2.0\n", "", "bounds it"),
        ("default = 1.0\n", "", "site = true"),
        ("hard = 2.0\ndefault = 1.0\nsite = true", "", "site = true"),
        ("unit", "units", "units"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = parse(&good.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(named), "{to}: {error}");
    }
    assert!(parse(&format!("{good}{}", good.split_once('\n').unwrap().1)).unwrap_err().contains("twice"));
}

#[test]
fn a_manifest_narrows_and_never_widens() {
    let limits = Limits::shipped();
    let golden = limits.get("golden_agreement").unwrap();
    let narrower = golden.tightened(Bound::AtLeast(0.995), "the manifest of surgical-cpu").unwrap();
    assert_eq!((narrower.in_force(), narrower.failing()), (Some(Bound::AtLeast(0.995)), Some(Bound::AtLeast(0.995))));
    assert!(narrower.source.contains("surgical-cpu"));
    assert!(golden.tightened(Bound::AtLeast(0.5), "m").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = Limits::shipped().with_site("s", &text);
    }

    /// Whatever a site asks for: what passes with it passes without it, except where a site may widen, and there never beyond `hard`.
    #[test]
    fn no_site_loosens_a_limit(at in any::<prop::sample::Index>(), a in -200.0f64..6_000.0, b in -200.0f64..6_000.0, value in -300.0f64..7_000.0) {
        let shipped = Limits::shipped();
        let all: Vec<&Limit> = shipped.iter().collect();
        let limit = all[at.index(all.len())];
        let asked = if limit.side == Side::Within { format!("[{}, {}]", a.min(b) / 1e3, a.max(b) / 1e3) } else { format!("{a:?}") };
        if let Ok(limits) = with_site(&row(&limit.id, &asked)) {
            let mine = limits.get(&limit.id).unwrap();
            let site = mine.site.unwrap();
            prop_assert!(limit.hard.is_none_or(|hard| !site.holds(value) || hard.holds(value)));
            if !limit.may_site_set {
                prop_assert!(!site.holds(value) || limit.in_force().unwrap().holds(value));
            }
            prop_assert_eq!(mine.failing(), Some(site));
            prop_assert_eq!(limits.iter().filter(|limit| limit.site.is_some()).count(), 1);
        }
    }
}
