//! How far a build is: phases within phases, each of so many steps, as TensorRT tells them.

/// The phases that are under way, and how much was done at most.
#[derive(Debug, Default)]
pub struct Phases {
    open: Vec<Phase>,
    done: f64,
}

#[derive(Debug)]
struct Phase {
    name: String,
    parent: Option<String>,
    steps: f64,
    done: f64,
}

impl Phases {
    pub fn began(&mut self, name: &str, parent: Option<&str>, steps: i32) {
        let parent = parent.map(str::to_owned);
        self.open.push(Phase { name: name.to_owned(), parent, steps: f64::from(steps.max(1)), done: 0.0 });
    }

    pub fn stepped(&mut self, name: &str, step: i32) {
        if let Some(phase) = self.open.iter_mut().rev().find(|phase| phase.name == name) {
            phase.done = f64::from(step) + 1.0;
        }
        self.measure();
    }

    pub fn ended(&mut self, name: &str) {
        if let Some(at) = self.open.iter().rposition(|phase| phase.name == name) {
            let ended = self.open.remove(at);
            if ended.parent.is_none() {
                self.done = 1.0;
            }
        }
        self.measure();
    }

    /// The phase that began last.
    pub fn innermost(&self) -> &str {
        self.open.last().map_or("", |phase| &phase.name)
    }

    /// 0 to 1; it never goes back, whatever phases come.
    pub fn done(&self) -> f64 {
        self.done
    }

    fn measure(&mut self) {
        let roots = (0..self.open.len()).filter(|&at| self.open[at].parent.is_none());
        self.done = self.done.max(roots.map(|at| self.share(at)).fold(0.0, f64::max));
    }

    /// What is done of a phase: its steps, and of the step under way what is done of the phases within it.
    fn share(&self, at: usize) -> f64 {
        let phase = &self.open[at];
        // What began before it is not within it, whatever it is called.
        let within = (at + 1..self.open.len()).filter(|&other| self.open[other].parent.as_deref() == Some(&phase.name));
        let step = within.map(|other| self.share(other)).fold(0.0, f64::max);
        ((phase.done + step) / phase.steps).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_under_way_counts_by_the_phases_within_it() {
        let mut phases = Phases::default();
        assert_eq!((phases.done(), phases.innermost()), (0.0, ""));
        phases.began("building", None, 4);
        phases.stepped("building", 0);
        assert_eq!(phases.done(), 0.25);
        phases.began("subgraph", Some("building"), 2);
        phases.stepped("subgraph", 0);
        assert_eq!((phases.done(), phases.innermost()), (0.375, "subgraph"));
        phases.began("timing", Some("subgraph"), 10);
        phases.stepped("timing", 4);
        assert_eq!(phases.done(), 0.4375);
        phases.ended("timing");
        phases.ended("subgraph");
        assert_eq!((phases.done(), phases.innermost()), (0.4375, "building"), "it does not go back");
        phases.stepped("building", 1);
        phases.ended("building");
        assert_eq!(phases.done(), 1.0);
    }

    #[test]
    fn phases_that_nobody_began_or_that_contain_each_other_end_nothing() {
        let mut phases = Phases::default();
        phases.stepped("none", 3);
        phases.ended("none");
        assert_eq!(phases.done(), 0.0);
        phases.began("one", None, 2);
        phases.began("other", Some("one"), 0);
        phases.began("one", Some("other"), 2);
        phases.stepped("one", 0);
        assert_eq!(phases.done(), 0.25);
    }
}
