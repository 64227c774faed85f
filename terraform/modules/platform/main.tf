# The whole platform: every module once, or once for each entry of the stack file. Environments differ in figures only.

module "encryption" {
  source = "../encryption"

  aws       = local.aws
  protected = var.protected
}

module "network" {
  source = "../network"

  aws                = local.aws
  cidr               = var.network.cidr
  zones              = slice(data.aws_availability_zones.this.names, 0, var.network.zones)
  interface_services = local.is_lean ? [] : local.services
  bucket_names       = values(local.bucket_names)
  log_retention_days = var.log_retention_days
  key_arn            = module.encryption.key_arn
}

module "egress" {
  source = "../egress"

  aws                      = local.aws
  mode                     = var.network.mode
  allowed_hosts            = var.allowed_hosts
  vpc_id                   = module.network.vpc_id
  vpc_cidr                 = var.network.cidr
  outbound_cidrs           = module.network.outbound_cidrs
  outbound_route_table_ids = module.network.outbound_route_table_ids
  service_hosts            = setunion(local.service_hosts, [module.database.address])
  protected                = var.protected
  log_retention_days       = var.log_retention_days
  key_arn                  = module.encryption.key_arn
}

module "database" {
  source = "../database"

  aws                = local.aws
  database           = var.database
  protected          = var.protected
  subnet_ids         = module.network.private_subnet_ids
  security_group_id  = module.network.security_group_ids.database
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days
}

module "storage" {
  source   = "../storage"
  for_each = local.stack.buckets

  aws              = local.aws
  name             = local.bucket_names[each.key]
  bucket           = each.value
  old_version_days = var.storage.old_version_days
  force_destroy    = !var.protected
  key_arn          = contains(local.encrypted_keys, each.key) ? module.encryption.key_arn : null
}

module "queue" {
  source   = "../queue"
  for_each = local.stack.queues

  aws   = local.aws
  name  = local.names[each.key]
  queue = each.value
}

module "secrets" {
  source = "../secrets"

  secrets   = local.stack.secrets
  names     = { rpc = var.alarms.chains, webhook = var.webhooks }
  key_arn   = module.encryption.key_arn
  protected = var.protected
}

module "lambda_function" {
  source   = "../lambda_function"
  for_each = local.stack.functions

  aws         = local.aws
  key         = each.key
  function    = each.value
  environment = local.environments["function/${each.key}"]
  access      = local.accesses["function/${each.key}"]
  code = {
    bucket = local.bucket_names["artifacts"]
    key    = "functions/${var.release}/${local.names[each.key]}.zip"
  }
  network = {
    subnet_ids = local.is_lean || local.processes["function/${each.key}"].outbound ? module.network.outbound_subnet_ids : module.network.private_subnet_ids
    security_group_ids = concat(
      [module.network.security_group_ids.functions],
      local.is_lean || local.processes["function/${each.key}"].outbound ? [module.network.security_group_ids.outbound] : [],
    )
  }
  mappings = {
    for key, mapping in local.stack.event_source_mappings : key => merge(mapping, { queue_arn = local.queue_arns[mapping.queue] }) if mapping.function == each.key
  }
  asynchronous       = lookup(local.asynchronous, each.key, null)
  key_alias          = module.encryption.alias
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days

  # Addresses are made of names, so that they are in the plan; what has the names comes first all the same.
  depends_on = [module.queue, module.storage]
}

module "cluster" {
  source = "../cluster"

  name = local.prefix
}

module "fargate_operator" {
  source   = "../fargate_operator"
  for_each = local.stack.operators

  aws                = local.aws
  key                = each.key
  operator           = each.value
  release            = var.release
  scratch_gb         = var.scratch_gb
  environment        = local.environments["operator/${each.key}"]
  access             = local.accesses["operator/${each.key}"]
  key_alias          = module.encryption.alias
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days
  force_delete       = !var.protected
}

module "scheduler" {
  source = "../scheduler"

  aws = local.aws
  schedules = {
    for key, schedule in local.stack.schedules : key => merge(schedule, {
      function_arn = local.function_arns[schedule.function]
      input        = jsonencode(schedule.input)
    })
  }
  trigger_group        = "${local.prefix}-${replace(local.stack.cron_triggers.group, "_", "-")}"
  trigger_function_arn = local.function_arns[local.stack.cron_triggers.function]

  depends_on = [module.lambda_function]
}

module "api" {
  source = "../api"

  aws                = local.aws
  routes             = local.stack.routes
  function_names     = { for key in keys(local.stack.functions) : key => local.names[key] }
  throttle           = var.api_throttle
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days

  depends_on = [module.lambda_function]
}

module "observability" {
  source = "../observability"

  aws = local.aws
  queues = {
    for key, queue in local.stack.queues : key => {
      name             = local.queue_names[key]
      dead_letter_name = try("${local.names[key]}-dlq${queue.dead_letter.fifo ? ".fifo" : ""}", null)
      is_for_people    = !can(queue.dead_letter.fifo)
      wakes_workers    = contains([for operator in values(local.stack.operators) : operator.queue], key)
    }
  }
  functions = {
    for key in keys(local.stack.functions) : key => {
      name         = local.names[key]
      is_scheduled = anytrue([for schedule in values(local.stack.schedules) : schedule.function == key && schedule.expression == "rate(1 minute)"])
    }
  }
  operators = keys(local.stack.operators)
  chains    = var.alarms.chains
  database = {
    identifier       = module.database.identifier
    storage_gb       = var.database.storage_gb
    connection_alarm = var.database.connection_alarm
  }
  api_id             = module.api.id
  schedule_groups    = module.scheduler.group_names
  refused_names      = module.egress.refused_names
  firewall_zones     = module.egress.firewall_zones
  thresholds         = var.alarms.thresholds
  emails             = var.alarms.emails
  monthly_budget_usd = var.alarms.monthly_budget_usd
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days
}
