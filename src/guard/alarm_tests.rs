use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The lines of the screen; a time of the day is the stamp itself.
fn said(alarms: &Alarms) -> Vec<hud::Alarm> {
    alarms.lines(|ns| TimeOfDay(ns as u32))
}

#[test]
fn every_code_has_its_row_and_no_two_share_a_name() {
    for (i, row) in TABLE.iter().enumerate() {
        assert_eq!(row.code as usize, i, "{}", row.name);
        assert_eq!(Code::of_name(row.name), Some(row.code));
        assert!(TABLE[..i].iter().all(|other| other.name != row.name), "{}", row.name);
        assert_eq!(row.code.row().name, row.code.name());
    }
    assert_eq!(Code::of_name("NO-SUCH"), None);
}

#[test]
fn acknowledging_hides_nothing_that_lasts_and_takes_away_what_has_passed() {
    let mut alarms = Alarms::default();
    alarms.raise(1, Code::RecordSlow, "lost".into());
    alarms.raise(2, Code::SignalFrozen, "stands".into());
    let lines = |alarms: &Alarms| -> Vec<_> { said(alarms).iter().map(|l| (l.text, l.was.map(|at| at.0), l.is_acknowledged)).collect() };
    assert_eq!(lines(&alarms), [(Text::PictureStands, None, false), (Text::RecordingLost, None, false)], "the gravest first");
    alarms.clear(3, Code::RecordSlow, 0);
    assert_eq!(lines(&alarms), [(Text::PictureStands, None, false), (Text::RecordingLost, Some(1), false)], "latched: it was at 1");
    alarms.acknowledge(4);
    assert_eq!(lines(&alarms), [(Text::PictureStands, None, true)]);
    alarms.raise(5, Code::SignalFrozen, "again".into());
    assert_eq!(lines(&alarms), [(Text::PictureStands, None, false)], "it is a new alarm");
    alarms.clear(6, Code::SignalFrozen, 0);
    assert_eq!(lines(&alarms), [(Text::PictureStands, Some(5), false)]);
    alarms.acknowledge(7);
    assert!(said(&alarms).is_empty());
    let times: Vec<_> = alarms.records().iter().map(|r| (r.code, r.at_ns, r.cleared_ns, r.acknowledged_ns)).collect();
    let expected =
        [(Code::RecordSlow, 1, Some(3), Some(4)), (Code::SignalFrozen, 2, Some(5), Some(4)), (Code::SignalFrozen, 5, Some(6), Some(7))];
    assert_eq!(times, expected);
}

#[test]
fn two_parts_of_one_kind_are_two_alarms_and_another_cause_is_a_new_one() {
    let mut alarms = Alarms::default();
    let control = |part, text| Cause { part, text, ..Code::ControlLost.into() };
    alarms.raise(1, control(0, Text::FootswitchGone), String::new());
    alarms.raise(2, control(1, Text::SerialGone), String::new());
    alarms.raise(3, control(0, Text::FootswitchGone), String::new());
    assert_eq!((said(&alarms).len(), alarms.records().len()), (2, 2), "the same that lasts is no news");
    alarms.clear(4, Code::ControlLost, 0);
    assert_eq!(said(&alarms).iter().map(|l| l.text).collect::<Vec<_>>(), [Text::SerialGone]);
    let blocked = |text, lookup| Cause { text, lookup: Some(lookup), ..Code::AiBlocked.into() };
    alarms.raise(5, blocked(Text::NotSelfTested, "ST-G01"), String::new());
    alarms.raise(6, blocked(Text::SelfTestFailed, "ST-G02"), String::new());
    let of_ai: Vec<_> = said(&alarms).into_iter().filter_map(|l| l.lookup).collect();
    assert_eq!((of_ai, alarms.records().len()), (vec!["ST-G02"], 4));
    assert_eq!(alarms.records()[2].cleared_ns, Some(6));
}

#[test]
fn what_is_kept_for_the_report_is_bounded_and_what_lasts_is_still_said() {
    let mut alarms = Alarms::default();
    for i in 0..2 * KEPT as u64 {
        alarms.raise(i, Code::SignalLost, String::new());
        alarms.clear(i, Code::SignalLost, 0);
    }
    alarms.raise(9, Code::MonitorLost, String::new());
    assert_eq!((alarms.records().len(), said(&alarms).len()), (KEPT, 1));
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Raise(Code, u8),
    Clear(Code, u8),
    Acknowledge,
}

fn any_op() -> impl Strategy<Value = Op> {
    let code = || proptest::sample::select(TABLE.map(|row| row.code).to_vec());
    prop_oneof![
        5 => (code(), 0u8..2).prop_map(|(code, part)| Op::Raise(code, part)),
        4 => (code(), 0u8..2).prop_map(|(code, part)| Op::Clear(code, part)),
        1 => Just(Op::Acknowledge),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what lasts is said, also when it is known; what passed unseen is said if it is
    /// latched; each time that something comes up anew is in the report, with its end and its acknowledgement.
    #[test]
    fn no_alarm_is_lost_and_none_that_lasts_is_hidden(ops in proptest::collection::vec(any_op(), 1..200)) {
        let mut alarms = Alarms::default();
        // The model: does it last, was it seen since it came up.
        let mut model: BTreeMap<(usize, u8), (bool, bool)> = BTreeMap::new();
        let mut raised = 0;
        for (i, op) in ops.into_iter().enumerate() {
            let now_ns = i as u64;
            match op {
                Op::Raise(code, part) => {
                    let is_new = !matches!(model.insert((code as usize, part), (true, false)), Some((true, false)));
                    raised += usize::from(is_new);
                    alarms.raise(now_ns, Cause { part, ..code.into() }, String::new());
                }
                Op::Clear(code, part) => {
                    if let Some((lasts, is_seen)) = model.get_mut(&(code as usize, part)) {
                        *is_seen |= *lasts && !code.row().is_latched;
                        *lasts = false;
                    }
                    alarms.clear(now_ns, code, part);
                }
                Op::Acknowledge => {
                    model.values_mut().for_each(|(_, is_seen)| *is_seen = true);
                    alarms.acknowledge(now_ns);
                }
            }
            for (&(code, part), &(lasts, is_seen)) in &model {
                let expected = match (lasts, is_seen) {
                    (true, false) => Some(Standing::Active),
                    (true, true) => Some(Standing::Known),
                    (false, false) => Some(Standing::Past),
                    (false, true) => None,
                };
                prop_assert_eq!(alarms.standing(TABLE[code].code, part), expected, "{} {}", TABLE[code].name, part);
            }
            let lines = said(&alarms);
            prop_assert_eq!(lines.len(), model.values().filter(|(lasts, is_seen)| *lasts || !is_seen).count());
            let order: Vec<_> = lines.iter().map(|line| (line.was.is_some(), line.priority)).collect();
            prop_assert!(order.is_sorted(), "what lasts comes first, and of that what is high: {:?}", order);
            let open_records = alarms.records().iter().filter(|record| record.cleared_ns.is_none()).count();
            prop_assert_eq!(open_records, model.values().filter(|(lasts, _)| *lasts).count());
        }
        prop_assert_eq!(alarms.records().len(), raised);
        prop_assert!(alarms.records().iter().all(|record| record.cleared_ns.is_none_or(|end| end > record.at_ns)));
    }
}
