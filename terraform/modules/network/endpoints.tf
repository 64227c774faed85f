# AWS services, reached without leaving the VPC.

locals {
  # Layers of images come from a bucket of ECR's own. Source: Amazon ECR user guide, "Minimum Amazon S3 bucket permissions".
  image_layers = "arn:${var.aws.partition}:s3:::prod-${var.aws.region}-starport-layer-bucket/*"
  bucket_arns  = [for name in sort(var.bucket_names) : "arn:${var.aws.partition}:s3:::${name}"]
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.aws.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat([aws_route_table.private.id], [for table in aws_route_table.outbound : table.id])
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        Resource  = flatten([for arn in local.bucket_arns : [arn, "${arn}/*"]])
      },
      {
        Sid       = "ImageLayers"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject"]
        Resource  = [local.image_layers]
      },
    ]
  })
  tags = { Name = "isotherm-s3" }
}

resource "aws_vpc_endpoint" "service" {
  for_each = var.interface_services

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.aws.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.this["endpoints"].id]
  # Credentials of another account cannot be used through it to carry data away.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnAccount"
      Effect    = "Allow"
      Principal = "*"
      Action    = "*"
      Resource  = "*"
      Condition = { StringEquals = { "aws:PrincipalAccount" = var.aws.account_id } }
    }]
  })
  tags = { Name = "isotherm-${each.key}" }
}
