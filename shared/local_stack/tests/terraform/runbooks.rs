//! What docs/operations.md has people give to Terraform and to AWS is what there is.

use std::collections::BTreeSet;
use std::fs;

use isotherm_lab::tools;

use crate::rendered::rendered;
use crate::resources::{PLATFORM, Resources};

fn document() -> String {
    fs::read_to_string(tools::repository_root().unwrap().join("docs/operations.md")).unwrap()
}

/// Addresses in the document at which nothing is.
fn strangers<'d>(document: &'d str, resources: &Resources) -> BTreeSet<&'d str> {
    let is_end = |c: char| c.is_whitespace() || "'`".contains(c);
    let named = document.split(PLATFORM).skip(1).filter_map(|rest| rest.split(is_end).next());
    named.filter(|address| !resources.has(address)).collect()
}

#[test]
fn runbooks_name_what_terraform_makes() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        assert_eq!(strangers(&document(), &real), BTreeSet::new(), "{environment}");
        let renamed = "`module.platform.module.database.aws_db_instance.main`, module.platform.module.data x";
        let expected = BTreeSet::from(["module.data", "module.database.aws_db_instance.main"]);
        assert_eq!(strangers(renamed, &real), expected);
    }
}

/// The resolver lets one host of a database through, and Terraform knows one instance: whichever is called so.
#[test]
fn a_restored_database_takes_the_place_of_the_old_one_by_its_name() {
    let Some(real) = rendered("prod") else { return };
    let address = "module.database.aws_db_instance.this";
    let name = real.at(address).text("/identifier").unwrap();
    let document = document();
    let (_, section) = document.split_once("### The database must be restored\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let steps = [
        "put-function-concurrency --function-name isotherm-dispatcher --reserved-concurrent-executions 0\n".to_owned(),
        format!("modify-db-instance --db-instance-identifier {name} --new-db-instance-identifier "),
        format!("restore-db-instance-to-point-in-time --source-db-instance-identifier {name}-broken "),
        format!("modify-db-instance --db-instance-identifier {name} --manage-master-user-password "),
        format!("state rm {PLATFORM}{address}\n"),
        format!(" {PLATFORM}{address} {name}\n"),
        "--step base --step migrate --step plan --step apply".to_owned(),
        format!("delete-db-instance --db-instance-identifier {name}-broken "),
    ];
    let places: Vec<Option<usize>> = steps.iter().map(|step| section.find(step.as_str())).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    assert!(section.contains(&format!("--target-db-instance-identifier {name} ")));
}
