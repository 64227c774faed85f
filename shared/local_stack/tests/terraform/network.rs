//! Nobody comes in but through the API, and nothing goes out but along the one way.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_local_stack::stack_file::Notifier;
use isotherm_local_stack::{Stack, names};
use serde_json::{Value, json};

use crate::rendered::{ACCOUNT, ALLOWED_HOSTS, REGION, rendered, terraform_folder};
use crate::resources::{Resource, Resources};

/// Whatever is no part of the VPC.
const WORLD: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Kinds that would let somebody in beside the API, or lead somewhere else than the one way out.
const DOORS: [&str; 8] = [
    "aws_lambda_function_url",
    "aws_lb",
    "aws_elb",
    "aws_instance",
    "aws_ec2_instance_connect_endpoint",
    "aws_egress_only_internet_gateway",
    "aws_vpc_peering_connection",
    "aws_security_group_rule",
];

fn ingress_faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for kind in DOORS {
        faults.extend(resources.all(kind).map(|found| format!("{}: a door of its own", found.address)));
    }
    for rule in resources.all("aws_vpc_security_group_ingress_rule") {
        let is_open = ["/cidr_ipv4", "/cidr_ipv6", "/prefix_list_id"].iter().any(|place| rule.text(place).is_some());
        if is_open || rule.text("/referenced_security_group_id").is_none() {
            faults.push(format!("{}: it lets in more than a group of ours", rule.address));
        }
    }
    for group in resources.all("aws_security_group").chain(resources.all("aws_default_security_group")) {
        if group.count("/ingress") + group.count("/egress") > 0 {
            faults.push(format!("{}: it has rules that are not in the list", group.address));
        }
    }
    for subnet in resources.all("aws_subnet") {
        if subnet.is("/map_public_ip_on_launch") {
            faults.push(format!("{}: it gives out public addresses", subnet.address));
        }
    }
    for database in resources.all("aws_db_instance") {
        if database.is("/publicly_accessible") {
            faults.push(format!("{}: it has a public address", database.address));
        }
    }
    for permission in resources.all("aws_lambda_permission") {
        let is_the_api = permission.text("/principal") == Some("apigateway.amazonaws.com");
        if !is_the_api || permission.text("/source_arn").is_none() || permission.text("/source_account").is_none() {
            faults.push(format!("{}: others than the API may invoke it", permission.address));
        }
    }
    faults
}

/// Where what is in a subnet gets to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nowhere out of the VPC.
    Closed,
    /// To the firewall. The stand-in has no address for it: its routes have no other target.
    Firewall,
    /// To a NAT gateway.
    Nat,
    /// To the internet.
    Internet,
}

/// The way out of each subnet, by id.
fn ways(resources: &Resources) -> BTreeMap<&str, Way> {
    let association = |found: &Resource| found.text("/route_table_id").map(str::to_owned);
    let mut ways = BTreeMap::new();
    for link in resources.all("aws_route_table_association") {
        let Some(subnet) = link.text("/subnet_id") else { continue };
        let mut routes = resources.all("aws_route").filter(|route| {
            association(route) == association(link)
                && route.text("/destination_cidr_block").is_some_and(|to| WORLD.contains(&to))
        });
        let way = match routes.next() {
            None => Way::Closed,
            Some(route) if route.text("/gateway_id").is_some() => Way::Internet,
            Some(route) if route.text("/nat_gateway_id").is_some() => Way::Nat,
            Some(_) => Way::Firewall,
        };
        ways.insert(subnet, way);
    }
    ways
}

fn egress_faults(resources: &Resources, stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let is_full = resources.all("aws_networkfirewall_firewall").next().is_some();
    let guarded = if is_full { Way::Firewall } else { Way::Nat };
    let ways = ways(resources);
    let way = |subnet: &str| ways.get(subnet).copied();

    for rule in resources.all("aws_vpc_security_group_egress_rule") {
        let Some(to) = rule.text("/cidr_ipv4").or(rule.text("/cidr_ipv6")) else { continue };
        let is_the_one = rule.text("/security_group_id") == Some("isotherm-outbound");
        let is_https = rule.text("/ip_protocol") == Some("tcp")
            && [rule.number("/from_port"), rule.number("/to_port")] == [Some(443), Some(443)];
        if !(is_the_one && is_https) {
            faults.push(format!("{}: it lets out to {to}", rule.address));
        }
    }
    for function in resources.all("aws_lambda_function") {
        let subnets = function.list("/vpc_config/0/subnet_ids");
        if subnets.is_empty() {
            faults.push(format!("{}: it is not in the VPC", function.address));
        }
        let is_outbound = stack.functions.iter().any(|(key, wanted)| {
            wanted.outbound && function.text("/function_name") == Some(names::function(key).as_str())
        });
        // In lean mode all of them need the way out, to reach AWS itself.
        let wanted = if is_outbound || !is_full { guarded } else { Way::Closed };
        for subnet in subnets {
            if way(subnet) != Some(wanted) {
                faults.push(format!("{}: {:?} and not {wanted:?} from {subnet}", function.address, way(subnet)));
            }
        }
        let has_group = function.list("/vpc_config/0/security_group_ids").contains(&"isotherm-outbound");
        if has_group != (wanted == guarded) {
            faults.push(format!("{}: the group `outbound` is its own: {has_group}", function.address));
        }
        let launches = function.text("/environment/0/variables/ISOTHERM_SUBNETS");
        for subnet in launches.into_iter().flat_map(|subnets| subnets.split(',')) {
            if way(subnet) != Some(guarded) {
                faults.push(format!("{}: it launches workers into {subnet}", function.address));
            }
        }
    }
    let closed = resources.all("aws_db_subnet_group").chain(
        resources.all("aws_vpc_endpoint").filter(|endpoint| endpoint.text("/vpc_endpoint_type") == Some("Interface")),
    );
    for inside in closed {
        if inside.list("/subnet_ids").iter().any(|subnet| way(subnet) != Some(Way::Closed)) {
            faults.push(format!("{}: it lies where there is a way out", inside.address));
        }
    }
    let translators: Vec<&str> =
        resources.all("aws_nat_gateway").filter_map(|gateway| gateway.text("/subnet_id")).collect();
    for (subnet, _) in ways.iter().filter(|(_, way)| **way == Way::Internet) {
        if !translators.contains(subnet) {
            faults.push(format!("{subnet}: it leads to the internet and holds no NAT gateway"));
        }
    }
    faults.extend(list_faults(resources, is_full));
    faults.extend(service_faults(resources, is_full, stack));
    faults
}

/// AWS services that something inside calls, as their interface endpoints are named.
fn services(stack: &Stack) -> BTreeSet<&'static str> {
    let mut services = BTreeSet::from(["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"]);
    for function in stack.functions.values() {
        if !(function.run_operators.is_empty() && function.stop_operators.is_empty()) {
            services.insert("ecs");
        }
        if !function.invoke.is_empty() {
            services.insert("lambda");
        }
        services.extend(function.notify.iter().map(|notifier| match notifier {
            Notifier::Email => "email",
            Notifier::Sms => "sns",
        }));
    }
    services
}

/// Names of AWS that have to be resolved, and those of nobody else: these services, our buckets, the one that images come
/// from (Amazon ECR user guide, "Minimum Amazon S3 bucket permissions"), the database.
fn service_hosts(resources: &Resources, stack: &Stack) -> BTreeSet<String> {
    let domain = format!("{REGION}.amazonaws.com");
    let services = services(stack).into_iter().map(|service| match service {
        "ecr.api" => format!("api.ecr.{domain}"),
        "ecr.dkr" => format!("{ACCOUNT}.dkr.ecr.{domain}"),
        other => format!("{other}.{domain}"),
    });
    let buckets = stack.buckets.keys().map(|key| names::bucket(key, &format!("{ACCOUNT}-{REGION}")));
    let buckets = buckets.chain([format!("prod-{REGION}-starport-layer-bucket")]);
    let databases = resources.all("aws_db_instance").filter_map(|database| database.values["address"].as_str());
    services.chain(buckets.map(|bucket| format!("{bucket}.s3.{domain}"))).chain(databases.map(str::to_owned)).collect()
}

/// Services of AWS that are reached, and only those that are called.
fn service_faults(resources: &Resources, is_full: bool, stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lists = resources.all("aws_route53_resolver_firewall_domain_list");
    let names = lists.find(|list| list.text("/name") == Some("isotherm-aws")).map(|list| list.list("/domains"));
    let names: BTreeSet<String> = names.into_iter().flatten().map(str::to_owned).collect();
    if names != service_hosts(resources, stack) {
        faults.push("other names of AWS are resolved than those that are called".to_owned());
    }
    let start = format!("com.amazonaws.{REGION}.");
    let endpoints =
        resources.all("aws_vpc_endpoint").filter(|endpoint| endpoint.text("/vpc_endpoint_type") == Some("Interface"));
    let endpoints: BTreeSet<&str> =
        endpoints.filter_map(|endpoint| endpoint.text("/service_name")?.strip_prefix(start.as_str())).collect();
    let wanted = if is_full { services(stack) } else { BTreeSet::new() };
    faults.extend(wanted.difference(&endpoints).map(|service| format!("{service} has no endpoint")));
    faults
        .extend(endpoints.difference(&wanted).map(|service| format!("{service} has an endpoint, and nobody calls it")));
    faults
}

/// What lets hosts through, and only those of the list.
fn list_faults(resources: &Resources, is_full: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let list = |name: &str| {
        let mut lists = resources.all("aws_route53_resolver_firewall_domain_list");
        lists.find(|list| list.text("/name") == Some(name)).map(|list| list.list("/domains"))
    };
    let mut rules: Vec<(i64, &str, &str)> = resources
        .all("aws_route53_resolver_firewall_rule")
        .filter_map(|rule| Some((rule.number("/priority")?, rule.text("/action")?, rule.text("/name")?)))
        .collect();
    rules.sort_unstable();
    let order: Vec<(&str, &str)> = rules.into_iter().map(|(_, action, name)| (action, name)).collect();
    let wanted = [("ALLOW", "isotherm-allowed"), ("ALLOW", "isotherm-aws"), ("BLOCK", "isotherm-others")];
    if order != wanted || list("isotherm-others") != Some(vec!["*"]) {
        faults.push("names off the list are resolved".to_owned());
    }
    if list("isotherm-allowed") != Some(ALLOWED_HOSTS.to_vec()) {
        faults.push("other names than the allowed ones are resolved".to_owned());
    }
    if !resources
        .all("aws_route53_resolver_firewall_config")
        .all(|found| found.text("/firewall_fail_open") == Some("DISABLED"))
    {
        faults.push("all names are resolved when the resolver's firewall cannot say".to_owned());
    }
    if is_full {
        let policy = "/firewall_policy/0";
        let drops = |found: &Resource| {
            found.list(&format!("{policy}/stateful_default_actions")).contains(&"aws:drop_established")
                && found.list(&format!("{policy}/stateless_default_actions")) == ["aws:forward_to_sfe"]
        };
        if !resources.all("aws_networkfirewall_firewall_policy").all(drops) {
            faults.push("the firewall lets through what is not on the list".to_owned());
        }
        for group in resources.all("aws_networkfirewall_rule_group") {
            let source = "/rule_group/0/rules_source/0/rules_source_list/0";
            let hosts = group.list(&format!("{source}/targets"));
            let is_list = group.text(&format!("{source}/generated_rules_type")) == Some("ALLOWLIST");
            if !is_list || hosts != ALLOWED_HOSTS.map(|host| host.trim_start_matches('*')) {
                faults.push(format!("{}: it lets other hosts through", group.address));
            }
        }
    }
    faults
}

fn stack() -> Stack {
    Stack::read(&terraform_folder().join("stack.yaml")).unwrap()
}

#[test]
fn nobody_comes_in_but_through_the_api() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(ingress_faults(&real), none, "{environment}");
        let rule = r#"module.network.aws_vpc_security_group_ingress_rule.inside["functions_to_database"]"#;
        let permission = r#"module.api.aws_lambda_permission.route["POST /v1/query"]"#;
        let subnet = r#"module.network.aws_subnet.private["eu-west-1a"]"#;
        let database = "module.database.aws_db_instance.this";
        let default = "module.network.aws_default_security_group.this";
        let cases = [
            (real.planted(rule, "/cidr_ipv4", "0.0.0.0/0"), format!("{rule}: it lets in more than a group of ours")),
            (
                real.planted(subnet, "/map_public_ip_on_launch", true),
                format!("{subnet}: it gives out public addresses"),
            ),
            (real.planted(database, "/publicly_accessible", true), format!("{database}: it has a public address")),
            (real.planted(permission, "/principal", "*"), format!("{permission}: others than the API may invoke it")),
            (
                real.planted(default, "/ingress", json!([{ "from_port": 0 }])),
                format!("{default}: it has rules that are not in the list"),
            ),
            (
                real.with_new("aws_lambda_function_url", json!({})),
                "aws_lambda_function_url.planted: a door of its own".to_owned(),
            ),
        ];
        for (planted, expected) in cases {
            assert_eq!(ingress_faults(&planted), [expected]);
        }
    }
}

#[test]
fn nothing_goes_out_but_along_the_one_way() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(egress_faults(&real, &stack()), none, "{environment}");
    }
    let (Some(dev), Some(prod)) = (rendered("dev"), rendered("prod")) else { return };
    assert!(dev.all("aws_networkfirewall_firewall").next().is_none(), "dev is lean");
    assert!(prod.all("aws_networkfirewall_firewall").next().is_some(), "prod has a firewall");
    let called = ["ecr.api", "ecr.dkr", "ecs", "email", "lambda", "logs", "secretsmanager", "sns", "sqs"];
    assert_eq!(services(&stack()).into_iter().collect::<Vec<_>>(), called);
}

#[test]
fn another_way_out_is_named() {
    let (Some(dev), Some(prod)) = (rendered("dev"), rendered("prod")) else { return };
    let egress = r#"module.network.aws_vpc_security_group_egress_rule.inside["operators_to_endpoints"]"#;
    let route = r#"module.egress.aws_route.outbound["eu-west-1a"]"#;
    let policy = r#"module.egress.aws_networkfirewall_firewall_policy.this["this"]"#;
    let hosts = r#"module.egress.aws_networkfirewall_rule_group.allowed["this"]"#;
    let list = r#"module.egress.aws_route53_resolver_firewall_domain_list.this["allowed"]"#;
    let others = r#"module.egress.aws_route53_resolver_firewall_rule.this["others"]"#;
    let aws = r#"module.egress.aws_route53_resolver_firewall_domain_list.this["aws"]"#;
    let lambda = r#"module.network.aws_vpc_endpoint.service["lambda"]"#;
    // Whose API and whose bucket that is, nobody knows.
    let strangers = |name: &str| {
        let names = dev.at(aws).values["domains"].as_array().unwrap().iter().cloned();
        names.chain([Value::from(name)]).collect::<Vec<_>>()
    };
    let resolved = "other names of AWS are resolved than those that are called";
    let actions = "/firewall_policy/0/stateful_default_actions";
    let targets = "/rule_group/0/rules_source/0/rules_source_list/0/targets";
    let cases = [
        (dev.planted(egress, "/cidr_ipv4", "0.0.0.0/0"), format!("{egress}: it lets out to 0.0.0.0/0")),
        (
            dev.planted(list, "/domains", json!(["*.example.org", "evil.example.net", "rpc.example.com"])),
            "other names than the allowed ones are resolved".to_owned(),
        ),
        (dev.planted(others, "/action", "ALLOW"), "names off the list are resolved".to_owned()),
        (dev.planted(aws, "/domains", json!(["*.eu-west-1.amazonaws.com"])), resolved.to_owned()),
        (dev.planted(aws, "/domains", strangers("abc123.execute-api.eu-west-1.amazonaws.com")), resolved.to_owned()),
        (dev.planted(aws, "/domains", strangers("*.s3.eu-west-1.amazonaws.com")), resolved.to_owned()),
        (prod.without(lambda), "lambda has no endpoint".to_owned()),
        (
            prod.planted(policy, actions, json!(["aws:alert_established"])),
            "the firewall lets through what is not on the list".to_owned(),
        ),
        (prod.planted(hosts, targets, json!([".example.net"])), format!("{hosts}: it lets other hosts through")),
    ];
    for (planted, expected) in cases {
        assert_eq!(egress_faults(&planted, &stack()), [expected]);
    }
    // Past the firewall: whatever lies there is named.
    let past = egress_faults(&prod.planted(route, "/nat_gateway_id", "nat_gateway-1"), &stack());
    assert!(past.iter().any(|fault| fault.contains("it launches workers into")), "{past:?}");
    let open = egress_faults(&dev.planted(route, "/gateway_id", "internet_gateway-1"), &stack());
    assert!(open.iter().any(|fault| fault.contains("leads to the internet and holds no NAT gateway")), "{open:?}");
}
