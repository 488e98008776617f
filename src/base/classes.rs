//! The class table, `engines/classes.toml`: the one place where a class id gets its name.

use crate::base::ids::ClassId;
use serde::Deserialize;
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassKind {
    Background,
    Tissue,
    Instrument,
    /// Something to look at: a polyp, a lesion.
    Finding,
    /// A phase of the operation: said of the whole frame.
    Phase,
    /// How well the picture can be seen: said of the whole frame.
    Quality,
}

impl ClassKind {
    /// Has it a place in the picture, and so a colour in the overlay and in masks?
    pub fn is_region(self) -> bool {
        matches!(self, ClassKind::Tissue | ClassKind::Instrument | ClassKind::Finding)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub id: ClassId,
    pub name: String,
    pub kind: ClassKind,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    schema: String,
    class: Vec<Class>,
}

static TABLE: LazyLock<Classes> = LazyLock::new(|| {
    let table: Classes = toml::from_str(include_str!("../../engines/classes.toml")).expect("the built-in class table parses");
    assert_eq!(table.schema, "keyhole.classes/1");
    table
});

/// The table that this binary was built with.
pub fn table() -> &'static Classes {
    &TABLE
}

impl Classes {
    pub fn iter(&self) -> impl Iterator<Item = &Class> {
        self.class.iter()
    }

    pub fn by_id(&self, id: ClassId) -> Option<&Class> {
        self.class.iter().find(|class| class.id == id)
    }

    pub fn by_name(&self, name: &str) -> Option<&Class> {
        self.class.iter().find(|class| class.name.eq_ignore_ascii_case(name))
    }

    /// Name for people; ids that the table does not know are shown as such, never hidden.
    pub fn name(&self, id: ClassId) -> &str {
        self.by_id(id).map_or("unknown class", |class| class.name.as_str())
    }

    pub fn has_kind(&self, id: ClassId, kind: ClassKind) -> bool {
        self.by_id(id).is_some_and(|class| class.kind == kind)
    }

    pub fn is_instrument(&self, id: ClassId) -> bool {
        self.has_kind(id, ClassKind::Instrument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_names_map_back() {
        let table = table();
        for class in table.iter() {
            assert_eq!(table.by_name(&class.name).unwrap().id, class.id);
            assert_eq!(table.iter().filter(|other| other.id == class.id).count(), 1);
        }
        assert!(table.is_instrument(ClassId(5)) && !table.is_instrument(ClassId(10)));
    }
}
