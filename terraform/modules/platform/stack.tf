# The one list (terraform/stack.yaml), and what follows from its keys: names, ARNs, addresses, environment variables. The rule
# is that of shared/local_stack/src/names.rs and shared/local_stack/src/environment.rs; a test compares the two.

data "aws_partition" "this" {}
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}
data "aws_availability_zones" "this" {
  state = "available"

  # No Local Zones and no Wavelength Zones, which an account may have opted in to.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  stack = yamldecode(file("${path.module}/../../stack.yaml"))

  aws = {
    partition  = data.aws_partition.this.partition
    dns_suffix = data.aws_partition.this.dns_suffix
    region     = data.aws_region.this.region
    account_id = data.aws_caller_identity.this.account_id
  }
  prefix    = "isotherm"
  is_lean   = var.network.mode == "lean"
  arn_start = "arn:${local.aws.partition}"
  arn_end   = "${local.aws.region}:${local.aws.account_id}"

  names = {
    for key in distinct(concat(keys(local.stack.functions), keys(local.stack.operators), keys(local.stack.queues), keys(local.stack.buckets))) :
    key => "${local.prefix}-${replace(key, "_", "-")}"
  }
  cluster_arn   = "${local.arn_start}:ecs:${local.arn_end}:cluster/${local.prefix}"
  function_arns = { for key in keys(local.stack.functions) : key => "${local.arn_start}:lambda:${local.arn_end}:function:${local.names[key]}" }
  queue_names   = { for key, queue in local.stack.queues : key => "${local.names[key]}${queue.fifo ? ".fifo" : ""}" }
  queue_arns    = { for key, name in local.queue_names : key => "${local.arn_start}:sqs:${local.arn_end}:${name}" }
  dead_letter_arns = {
    for key, queue in local.stack.queues : key => [
      for suffix in [try(queue.dead_letter.fifo ? ".fifo" : "", null)] : "${local.arn_start}:sqs:${local.arn_end}:${local.names[key]}-dlq${suffix}" if suffix != null
    ]
  }
  queue_urls     = { for key, name in local.queue_names : key => "https://sqs.${local.aws.region}.${local.aws.dns_suffix}/${local.aws.account_id}/${name}" }
  bucket_names   = { for key in keys(local.stack.buckets) : key => "${local.names[key]}-${local.aws.account_id}-${local.aws.region}" }
  bucket_arns    = { for key, name in local.bucket_names : key => "${local.arn_start}:s3:::${name}" }
  secret_prefix  = "${local.arn_start}:secretsmanager:${local.arn_end}:secret:${local.prefix}"
  secret_arns    = { for key, secret in local.stack.secrets : key => try(secret.per_name, false) ? "${local.secret_prefix}/${key}/*" : "${local.secret_prefix}/${key}-??????" }
  encrypted_keys = ["results"] # users' answers; docs/adr/0032-where-the-key-is-ours.md

  fetches_keys = anytrue([for issuer in var.token_issuers : issuer.jwks_url != null])

  # What functions and operators have in common.
  processes = {
    for key, process in merge(
      { for key, function in local.stack.functions : "function/${key}" => function },
      { for key, operator in local.stack.operators : "operator/${key}" => operator },
    ) :
    key => {
      environment    = try(process.environment, {})
      send           = try(process.send, [])
      measure_queues = try(process.measure_queues, false)
      queue          = try([process.queue], [])
      buckets        = try(process.buckets, {})
      folders        = try(process.folders, {})
      secrets        = try(process.secrets, [])
      invoke         = try(process.invoke, [])
      notify         = try(process.notify, [])
      run_operators  = try(process.run_operators, [])
      stop_operators = try(process.stop_operators, [])
      verify_tokens  = try(process.verify_tokens, false)
      # What verifies tokens goes out for the keys of their issuers and for nothing else: if all are given as `jwks`, it need not.
      outbound = try(process.outbound, false) && (!try(process.verify_tokens, false) || local.fetches_keys)
    }
  }

  # What SES may have verified: the address, or its whole domain.
  email_identities = var.email_from == null ? [] : [
    for identity in [var.email_from, split("@", var.email_from)[1]] : "${local.arn_start}:ses:${local.arn_end}:identity/${identity}"
  ]
  token_issuers = jsonencode([for issuer in var.token_issuers : { for key, value in issuer : key => value if value != null }])
  environments = {
    for key, process in local.processes : key => merge(
      process.environment,
      { for queue in distinct(concat(process.send, process.queue)) : "ISOTHERM_QUEUE_${upper(queue)}_URL" => local.queue_urls[queue] },
      { for bucket in keys(process.buckets) : "ISOTHERM_BUCKET_${upper(bucket)}" => local.bucket_names[bucket] },
      { for secret in process.secrets : "ISOTHERM_SECRET_${upper(secret)}_ARN" => module.secrets.arns[secret] if !try(local.stack.secrets[secret].per_name, false) },
      { for function in process.invoke : "ISOTHERM_FUNCTION_${upper(function)}" => local.names[function] },
      contains(process.notify, "email") && var.email_from != null ? { ISOTHERM_EMAIL_FROM = var.email_from } : {},
      process.verify_tokens ? { ISOTHERM_TOKEN_ISSUERS = local.token_issuers } : {},
      length(concat(process.run_operators, process.stop_operators)) > 0 ? {
        ISOTHERM_CLUSTER                = local.prefix
        ISOTHERM_TASK_DEFINITION_PREFIX = "${local.prefix}-"
      } : {},
      length(process.run_operators) > 0 ? {
        ISOTHERM_SUBNETS         = join(",", module.network.outbound_subnet_ids)
        ISOTHERM_SECURITY_GROUPS = join(",", [module.network.security_group_ids.operators, module.network.security_group_ids.outbound])
      } : {},
      startswith(key, "operator/") ? { ISOTHERM_OPERATOR = trimprefix(key, "operator/") } : {},
    )
  }
  accesses = {
    for key, process in local.processes : key => {
      send       = [for queue in process.send : local.queue_arns[queue]]
      measure    = flatten([for queue in process.send : concat([local.queue_arns[queue]], local.dead_letter_arns[queue]) if process.measure_queues])
      receive    = [for queue in process.queue : local.queue_arns[queue]]
      poll       = [for mapping in values(local.stack.event_source_mappings) : local.queue_arns[mapping.queue] if key == "function/${mapping.function}"]
      read       = [for bucket, access in process.buckets : local.bucket_arns[bucket] if access != "write"]
      write      = [for bucket, access in process.buckets : local.bucket_arns[bucket] if access != "read"]
      folders    = { for bucket, folder in process.folders : local.bucket_arns[bucket] => folder }
      encrypted  = [for bucket in keys(process.buckets) : local.bucket_arns[bucket] if contains(local.encrypted_keys, bucket)]
      secrets    = [for secret in process.secrets : local.secret_arns[secret]]
      invoke     = [for function in process.invoke : local.function_arns[function]]
      emails     = contains(process.notify, "email") && var.email_from != null ? local.email_identities : []
      texts      = contains(process.notify, "sms")
      run        = [for operator in process.run_operators : "${local.arn_start}:ecs:${local.arn_end}:task-definition/${local.names[operator]}:*"]
      pass_roles = flatten([for operator in process.run_operators : [for role in ["execution", "operator"] : "${local.arn_start}:iam::${local.aws.account_id}:role/${local.names[operator]}-${role}"]])
      stop       = length(process.stop_operators) > 0 ? ["${local.arn_start}:ecs:${local.arn_end}:task/${local.prefix}/*"] : []
      cluster    = length(concat(process.run_operators, process.stop_operators)) > 0 ? local.cluster_arn : null
    }
  }

  # AWS services that are called from inside, with who calls them. Without interface endpoints they are reached by the way out.
  services = setunion(
    ["logs", "secretsmanager", "sqs"], # everything
    ["ecr.api", "ecr.dkr"],            # Fargate, to pull images
    anytrue([for process in values(local.processes) : length(concat(process.run_operators, process.stop_operators)) > 0]) ? ["ecs"] : [],
    anytrue([for process in values(local.processes) : length(process.invoke) > 0]) ? ["lambda"] : [],
    anytrue([for process in values(local.processes) : contains(process.notify, "email")]) ? ["email"] : [],
    anytrue([for process in values(local.processes) : contains(process.notify, "sms")]) ? ["sns"] : [],
    var.extra_services,
  )

  # Their names, each in full (modules/egress/dns.tf). The endpoint of S3 lets through the same buckets.
  service_domain = "${local.aws.region}.${local.aws.dns_suffix}"
  service_hosts = toset(concat(
    [
      for service in local.services : lookup({
        "ecr.api" = "api.ecr.${local.service_domain}"
        "ecr.dkr" = "${local.aws.account_id}.dkr.ecr.${local.service_domain}"
      }, service, "${service}.${local.service_domain}")
    ],
    [for bucket in concat(values(local.bucket_names), ["prod-${local.aws.region}-starport-layer-bucket"]) : "${bucket}.s3.${local.service_domain}"],
  ))

  # Of each function that the clock invokes: how often a failed event is tried again, and for how long it is kept.
  clock = concat(
    [for schedule in values(local.stack.schedules) : { function = schedule.function, retry_attempts = schedule.retry_attempts, max_event_age_seconds = schedule.max_event_age_seconds }],
    [{ function = local.stack.cron_triggers.function, retry_attempts = local.stack.cron_triggers.retry_attempts, max_event_age_seconds = local.stack.cron_triggers.max_event_age_seconds }],
  )
  asynchronous = {
    for function in distinct(local.clock[*].function) : function => {
      retry_attempts        = min(2, max([for entry in local.clock : entry.retry_attempts if entry.function == function]...))
      max_event_age_seconds = min(21600, max([for entry in local.clock : entry.max_event_age_seconds if entry.function == function]...))
    }
  }
}
