//! What can be asked of the function, and the one table of what each needs. A test compares it with `terraform/stack.yaml`.

use isotherm_access::Permission;

/// Something that the function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Run SQL.
    Ask,
    /// The organisation's queries, the newest first.
    ListQueries,
    /// How a query is, and its answer if that is a file.
    ShowQuery,
    /// Have a query end.
    CancelQuery,
    /// What there is to ask.
    ListDatasets,
    /// The organisation's saved queries.
    ListSaved,
    /// One of them.
    ShowSaved,
    /// Save one.
    SaveQuery,
    /// Delete one.
    DeleteSaved,
    /// Run one.
    RunSaved,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ask,
        Self::ListQueries,
        Self::ShowQuery,
        Self::CancelQuery,
        Self::ListDatasets,
        Self::ListSaved,
        Self::ShowSaved,
        Self::SaveQuery,
        Self::DeleteSaved,
        Self::RunSaved,
    ];

    /// The route as `terraform/stack.yaml` has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Ask => "POST /v1/query",
            Self::ListQueries => "GET /v1/queries",
            Self::ShowQuery => "GET /v1/queries/{id}",
            Self::CancelQuery => "POST /v1/queries/{id}/cancel",
            Self::ListDatasets => "GET /v1/datasets",
            Self::ListSaved => "GET /v1/saved-queries",
            Self::ShowSaved => "GET /v1/saved-queries/{name}",
            Self::SaveQuery => "PUT /v1/saved-queries/{name}",
            Self::DeleteSaved => "DELETE /v1/saved-queries/{name}",
            Self::RunSaved => "POST /v1/saved-queries/{name}/run",
        }
    }

    /// `action` of a direct invocation; one without any runs SQL.
    pub fn action(self) -> &'static str {
        match self {
            Self::Ask => "query",
            Self::ListQueries => "list_queries",
            Self::ShowQuery => "query_status",
            Self::CancelQuery => "cancel_query",
            Self::ListDatasets => "list_datasets",
            Self::ListSaved => "list_saved_queries",
            Self::ShowSaved => "show_saved_query",
            Self::SaveQuery => "save_query",
            Self::DeleteSaved => "delete_saved_query",
            Self::RunSaved => "run_saved_query",
        }
    }

    /// What the caller's role must have. Ending somebody else's query needs more.
    pub fn permission(self) -> Permission {
        match self {
            Self::Ask | Self::CancelQuery | Self::RunSaved | Self::ListDatasets => Permission::RunQueries,
            Self::ListQueries | Self::ShowQuery | Self::ListSaved | Self::ShowSaved => Permission::ReadOrg,
            Self::SaveQuery | Self::DeleteSaved => Permission::SaveQueries,
        }
    }

    /// The route that API Gateway calls `key`.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.key() == key)
    }

    /// The route of a direct invocation's `action`.
    pub fn of_action(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.action() == action)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_stack_file_has_exactly_these_routes() {
        let stack = include_str!("../../../terraform/stack.yaml");
        let line = |line: &str| {
            let (key, rest) = line.trim().split_once(": {")?;
            rest.contains("function: query").then(|| key.to_owned())
        };
        let of_stack: BTreeSet<String> = stack.lines().filter_map(line).collect();
        let ours = Route::ALL.into_iter().map(|route| route.key().to_owned()).collect();
        assert_eq!(of_stack, ours);
        assert!(!stack.lines().any(|line| line.contains("function: query") && line.contains("aws_iam")));
    }

    #[test]
    fn keys_and_actions_are_read_back() {
        for route in Route::ALL {
            assert_eq!(Route::of_key(route.key()), Some(route));
            assert_eq!(Route::of_action(route.action()), Some(route));
        }
        assert_eq!((Route::of_key("GET /v1/query"), Route::of_action("drop")), (None, None));
    }
}
