variable "aws" {
  description = "Where this is: partition and its DNS suffix, region, account. Names and ARNs are made of them, so that a plan shows them."
  type = object({
    partition  = string
    dns_suffix = string
    region     = string
    account_id = string
  })

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "name" {
  description = "Name of the queue, without `.fifo`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,71}$", var.name))
    error_message = "A queue's name has at most 71 letters, digits, `-` and `_`, so that `-dlq.fifo` can follow it."
  }
}

variable "queue" {
  description = "A queue of the stack file. The dead-letter queue is absent where only people read."
  type = object({
    fifo                  = bool
    deduplication_scope   = optional(string)
    fifo_throughput_limit = optional(string)
    visibility_seconds    = number
    retention_seconds     = number
    dead_letter = optional(object({
      fifo              = bool
      max_receives      = number
      retention_seconds = number
    }))
  })

  validation {
    condition     = var.queue.dead_letter == null || try(var.queue.dead_letter.fifo == var.queue.fifo, false)
    error_message = "A FIFO queue needs a FIFO dead-letter queue, and a standard queue a standard one."
  }
  validation {
    condition     = (var.queue.deduplication_scope == "messageGroup") == (var.queue.fifo_throughput_limit == "perMessageGroupId")
    error_message = "High throughput needs deduplication_scope messageGroup and fifo_throughput_limit perMessageGroupId, both or neither."
  }
}
