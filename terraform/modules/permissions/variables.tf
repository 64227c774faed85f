variable "aws" {
  description = "Where this is: partition and its DNS suffix, region, account."
  type = object({
    partition  = string
    dns_suffix = string
    region     = string
    account_id = string
  })
}

variable "key_alias" {
  description = "Alias of the platform's key."
  type        = string

  validation {
    condition     = startswith(var.key_alias, "alias/")
    error_message = "An alias begins with `alias/`."
  }
}

variable "access" {
  description = <<-TEXT
    What a function or operator may use, as ARNs: queues that it sends to; queues whose lengths it asks for; queues that Lambda polls for it, or that its worker
    receives from; buckets that it reads and writes, in which of them it keeps to a folder, and which are encrypted with the
    platform's key; secrets that it reads; functions that it invokes; identities of SES that it sends as, and whether it sends text messages; task definitions that it launches, with their roles; tasks that it stops.
  TEXT
  type = object({
    send           = optional(list(string), [])
    measure        = optional(list(string), [])
    poll           = optional(list(string), [])
    receive        = optional(list(string), [])
    read           = optional(list(string), [])
    write          = optional(list(string), [])
    folders        = optional(map(string), {})
    encrypted      = optional(list(string), [])
    secrets        = optional(list(string), [])
    invoke         = optional(list(string), [])
    emails         = optional(list(string), [])
    texts          = optional(bool, false)
    run            = optional(list(string), [])
    pass_roles     = optional(list(string), [])
    stop           = optional(list(string), [])
    cluster        = optional(string)
    log_group_name = string
  })

  validation {
    condition     = length(concat(var.access.run, var.access.stop)) == 0 || var.access.cluster != null
    error_message = "Tasks are launched and stopped in one cluster, which has to be named."
  }
  validation {
    condition = alltrue([
      for arn in concat(var.access.send, var.access.measure, var.access.poll, var.access.receive, var.access.read, var.access.write, var.access.invoke) :
      startswith(arn, "arn:") && !strcontains(arn, "*")
    ])
    error_message = "Queues, buckets and functions are named one by one, by ARN."
  }
  validation {
    condition = alltrue([
      for arn, folder in var.access.folders : contains(concat(var.access.read, var.access.write), arn) && can(regex("^[a-z][a-z0-9_]*$", folder))
    ])
    error_message = "A folder is a plain name in a bucket that is used."
  }
}
