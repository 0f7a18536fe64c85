//! The schema of an edition, and what GitLab charges for its fields.

use std::collections::HashMap;
use std::sync::LazyLock;

use apollo_compiler::validation::Valid;
use apollo_compiler::{Schema, schema::FieldDefinition};

use crate::Edition;

const COMMUNITY: &str = include_str!("schema.graphql");
const ENTERPRISE: &str = include_str!("schema_ee.graphql");

/// An edition's schema with the prices of its fields.
pub struct PricedSchema {
    pub schema: Valid<Schema>,
    /// By type and field; absent where the price is the usual 1.
    costs: HashMap<(String, String), Cost>,
}

/// What a field costs besides what is selected in it.
#[derive(Clone, Copy)]
pub struct Cost {
    pub base: i64,
    /// Whether arguments and page size count (GitLab: the field has a resolver).
    pub by_arguments: bool,
}

/// The schema that `edition` serves, parsed once.
pub fn of(edition: Edition) -> &'static PricedSchema {
    static CE: LazyLock<PricedSchema> = LazyLock::new(|| PricedSchema::parse(COMMUNITY));
    static EE: LazyLock<PricedSchema> =
        LazyLock::new(|| PricedSchema::parse(&[COMMUNITY, ENTERPRISE].concat()));
    match edition {
        Edition::Ce => &CE,
        Edition::Ee => &EE,
    }
}

impl PricedSchema {
    fn parse(sdl: &str) -> Self {
        let mut schema = Schema::parse_and_validate(sdl, "schema.graphql")
            .expect("the sandbox's own schema is valid")
            .into_inner();
        // Our own directive is not GitLab's: it must not show in introspection.
        schema.directive_definitions.shift_remove("cost");
        let mut costs = HashMap::new();
        for (name, definition) in &schema.types {
            let Some(object) = definition.as_object() else {
                continue;
            };
            for field in object.fields.values() {
                if let Some(cost) = Cost::declared(field) {
                    costs.insert((name.to_string(), field.name.to_string()), cost);
                }
            }
        }
        Self {
            schema: Valid::assume_valid(schema),
            costs,
        }
    }

    /// The cost of `field` on the type `on`.
    pub fn cost(&self, on: &str, field: &str) -> Cost {
        let usual = Cost {
            base: 1,
            by_arguments: false,
        };
        self.costs
            .get(&(on.to_owned(), field.to_owned()))
            .copied()
            .unwrap_or(usual)
    }
}

impl Cost {
    fn declared(field: &FieldDefinition) -> Option<Self> {
        let directive = field.directives.get("cost")?;
        let int = |name: &str| directive.specified_argument_by_name(name)?.to_i32();
        let flag = |name: &str| {
            directive
                .specified_argument_by_name(name)
                .and_then(|value| value.to_bool())
                .unwrap_or(false)
        };
        let own = int("fixed").or(int("extra")).unwrap_or(1);
        Some(Self {
            base: i64::from(own) + i64::from(flag("gitaly")),
            by_arguments: flag("resolver"),
        })
    }
}
