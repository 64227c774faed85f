//! Resources with their values, and copies of them with a mistake.

use serde_json::Value;

/// What all addresses begin with: environments hold one module.
pub(crate) const PLATFORM: &str = "module.platform.";

/// One resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Such as `module.queue["events"].aws_sqs_queue.this`.
    pub(crate) address: String,
    /// Such as `aws_sqs_queue`.
    pub(crate) kind: String,
    /// Its attributes.
    pub(crate) values: Value,
}

impl Resource {
    /// A text that somebody says. What nobody says, the stand-in fills with `mock-…`.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        let text = self.values.pointer(pointer)?.as_str()?;
        (!text.is_empty() && !text.starts_with("mock-")).then_some(text)
    }

    /// A whole number.
    pub(crate) fn number(&self, pointer: &str) -> Option<i64> {
        self.values.pointer(pointer)?.as_i64()
    }

    /// Whether it says yes.
    pub(crate) fn is(&self, pointer: &str) -> bool {
        self.values.pointer(pointer) == Some(&Value::Bool(true))
    }

    /// Texts of a list; none if it is not there.
    pub(crate) fn list(&self, pointer: &str) -> Vec<&str> {
        let items = self.values.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How many a list or a block has.
    pub(crate) fn count(&self, pointer: &str) -> usize {
        self.values.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// JSON that is kept as text; null if it is not there.
    pub(crate) fn json(&self, pointer: &str) -> Value {
        self.text(pointer).map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }
}

/// All resources of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Resources(Vec<Resource>);

impl Resources {
    /// Reads what `terraform show -json` says of a state.
    pub(crate) fn of(document: &Value) -> Self {
        let mut found = Vec::new();
        let mut modules = vec![&document["values"]["root_module"]];
        while let Some(module) = modules.pop() {
            modules.extend(module["child_modules"].as_array().into_iter().flatten());
            for resource in module["resources"].as_array().into_iter().flatten() {
                let address = resource["address"].as_str().unwrap();
                found.push(Resource {
                    address: address.strip_prefix(PLATFORM).unwrap_or(address).to_owned(),
                    kind: resource["type"].as_str().unwrap().to_owned(),
                    values: resource["values"].clone(),
                });
            }
        }
        assert!(found.len() > 100, "only {} resources", found.len());
        found.sort_by(|one, other| one.address.cmp(&other.address));
        Self(found)
    }

    /// Every one of `kind`, in the order of addresses.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.0.iter().filter(move |resource| resource.kind == kind)
    }

    /// The one at `address`.
    pub(crate) fn at(&self, address: &str) -> &Resource {
        self.0.iter().find(|resource| resource.address == address).unwrap_or_else(|| panic!("there is no {address}"))
    }

    /// Whether something is at `address`, or in the module that is called so.
    pub(crate) fn has(&self, address: &str) -> bool {
        let is_there = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.0.iter().any(|resource| resource.address.strip_prefix(address).is_some_and(is_there))
    }

    /// A copy in which one value is another one.
    pub(crate) fn planted(&self, address: &str, pointer: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let mut resource = self.at(address).clone();
        let place = resource.values.pointer_mut(pointer).unwrap_or_else(|| panic!("{address} has no {pointer}"));
        assert_ne!(*place, value, "{address}{pointer} is so already");
        *place = value;
        self.without(address).with(resource)
    }

    /// A copy in which one value of a JSON text is another one.
    pub(crate) fn planted_in_json(&self, address: &str, text: &str, pointer: &str, value: impl Into<Value>) -> Self {
        let mut document = self.at(address).json(text);
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{address}{text} has no {pointer}")) = value.into();
        self.planted(address, text, document.to_string())
    }

    /// A copy without the one at `address`.
    pub(crate) fn without(&self, address: &str) -> Self {
        self.at(address);
        Self(self.0.iter().filter(|resource| resource.address != address).cloned().collect())
    }

    /// A copy with one more.
    pub(crate) fn with(mut self, resource: Resource) -> Self {
        self.0.push(resource);
        self.0.sort_by(|one, other| one.address.cmp(&other.address));
        self
    }

    /// A copy with one more, of `kind`.
    pub(crate) fn with_new(&self, kind: &str, values: Value) -> Self {
        let resource = Resource { address: format!("{kind}.planted"), kind: kind.to_owned(), values };
        self.clone().with(resource)
    }
}

/// Last part of an ARN, a URL or a path.
pub(crate) fn last_part(text: &str) -> &str {
    text.rsplit([':', '/']).next().unwrap_or(text)
}
