# One operator: its image's repository, its task definition, its roles and its log. Nothing runs until the dispatcher launches it.

locals {
  name       = "isotherm-${replace(var.key, "_", "-")}"
  repository = "${var.aws.account_id}.dkr.ecr.${var.aws.region}.${var.aws.dns_suffix}/${local.name}"
  scratch    = "scratch"
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.name
  cpu                      = tostring(var.operator.cpu)
  memory                   = tostring(var.operator.memory_mb)
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  # A worker that was launched before an upgrade ends with the revision it began with.
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  ephemeral_storage {
    size_in_gib = var.scratch_gb
  }

  volume {
    name = local.scratch
  }

  container_definitions = jsonencode([{
    name                   = "worker"
    image                  = "${local.repository}:${var.release}"
    essential              = true
    user                   = "65532:65532"
    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = var.operator.stop_timeout_seconds
    environment            = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
    # The only place that can be written. The image declares /tmp as a volume, with its mode: anybody may write there.
    mountPoints     = [{ sourceVolume = local.scratch, containerPath = "/tmp", readOnly = false }]
    linuxParameters = { capabilities = { add = [], drop = ["ALL"] } }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = local.log_group_name
        "awslogs-region"        = var.aws.region
        "awslogs-stream-prefix" = "worker"
        "mode"                  = "non-blocking" # work does not wait for its log
        "max-buffer-size"       = "25m"
      }
    }
  }])

  depends_on = [aws_cloudwatch_log_group.this]
}
