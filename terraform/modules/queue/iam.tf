resource "aws_sqs_queue_policy" "this" {
  for_each = merge({ (local.name) = aws_sqs_queue.this.url }, { for name, queue in aws_sqs_queue.dead_letter : name => queue.url })

  queue_url = each.value
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = "${local.arn_prefix}:${each.key}"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
