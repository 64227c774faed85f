# The policy that follows from a wiring: exact actions on exact resources. Creates nothing; functions and operators share the
# rule, so that it can be read and tested in one place.

locals {
  logs_arn = "arn:${var.aws.partition}:logs:${var.aws.region}:${var.aws.account_id}:log-group:${var.access.log_group_name}:*"

  # Objects of each bucket: those of one folder, where there is one to keep to.
  objects = {
    for arn in distinct(concat(var.access.read, var.access.write)) :
    arn => contains(keys(var.access.folders), arn) ? "${arn}/${var.access.folders[arn]}/*" : "${arn}/*"
  }

  encrypted_reads  = setintersection(var.access.read, var.access.encrypted)
  encrypted_writes = setintersection(var.access.write, var.access.encrypted)
  # Services that may use the key in its place, and for what. A multipart upload needs both actions.
  key_uses = {
    ReadWithKey = {
      actions = ["kms:Decrypt"]
      via = compact([
        length(var.access.secrets) > 0 ? "secretsmanager" : "",
        length(setunion(local.encrypted_reads, local.encrypted_writes)) > 0 ? "s3" : "",
      ])
    }
    WriteWithKey = {
      actions = ["kms:GenerateDataKey"]
      via     = compact([length(local.encrypted_writes) > 0 ? "s3" : ""])
    }
  }

  plain = [
    { sid = "WriteLogs", actions = ["logs:CreateLogStream", "logs:PutLogEvents"], resources = [local.logs_arn] },
    { sid = "SendMessages", actions = ["sqs:SendMessage"], resources = var.access.send },
    { sid = "MeasureQueues", actions = ["sqs:GetQueueAttributes"], resources = var.access.measure },
    { sid = "PollQueues", actions = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], resources = var.access.poll },
    { sid = "ReceiveMessages", actions = ["sqs:DeleteMessage", "sqs:ReceiveMessage"], resources = var.access.receive },
    { sid = "ListBuckets", actions = ["s3:ListBucket"], resources = var.access.read },
    { sid = "ReadObjects", actions = ["s3:GetObject"], resources = [for arn in var.access.read : local.objects[arn]] },
    { sid = "WriteObjects", actions = ["s3:AbortMultipartUpload", "s3:PutObject"], resources = [for arn in var.access.write : local.objects[arn]] },
    { sid = "ReadSecrets", actions = ["secretsmanager:GetSecretValue"], resources = var.access.secrets },
    { sid = "SendEmails", actions = ["ses:SendEmail"], resources = var.access.emails },
    { sid = "InvokeFunctions", actions = ["lambda:InvokeFunction"], resources = var.access.invoke },
  ]
  conditional = concat(
    [
      for sid, use in local.key_uses : {
        sid       = sid
        actions   = use.actions
        resources = length(use.via) == 0 ? [] : ["arn:${var.aws.partition}:kms:${var.aws.region}:${var.aws.account_id}:key/*"]
        condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = [var.key_alias] }
          StringEquals               = { "kms:ViaService" = [for service in use.via : "${service}.${var.aws.region}.${var.aws.dns_suffix}"] }
        }
      }
    ],
    [
      {
        sid       = "LaunchWorkers"
        actions   = ["ecs:RunTask"]
        resources = var.access.run
        condition = { ArnEquals = { "ecs:cluster" = [coalesce(var.access.cluster, "none")] } }
      },
      {
        sid       = "StopWorkers"
        actions   = ["ecs:StopTask"]
        resources = var.access.stop
        condition = { ArnEquals = { "ecs:cluster" = [coalesce(var.access.cluster, "none")] } }
      },
      {
        sid       = "PassWorkersRoles"
        actions   = ["iam:PassRole"]
        resources = var.access.pass_roles
        condition = { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com"] } }
      },
    ],
  )

  # A text message goes to a number, which is its own resource (`+15550100`) and cannot be named beforehand. Everything else that
  # SNS publishes to, topics and devices, has an ARN. Source: Service Authorization Reference, Amazon SNS.
  texts = [
    for is_granted in [var.access.texts] : {
      Sid         = "SendTexts"
      Effect      = "Allow"
      Action      = ["sns:Publish"]
      NotResource = ["arn:${var.aws.partition}:sns:*:*:*"]
    } if is_granted
  ]

  statements = concat(
    local.texts,
    [
      for statement in local.plain : {
        Sid      = statement.sid
        Effect   = "Allow"
        Action   = statement.actions
        Resource = sort(statement.resources)
      } if length(statement.resources) > 0
    ],
    [
      for statement in local.conditional : {
        Sid       = statement.sid
        Effect    = "Allow"
        Action    = statement.actions
        Resource  = sort(statement.resources)
        Condition = statement.condition
      } if length(statement.resources) > 0
    ],
  )
}
