//! S3 buckets.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, VersioningConfiguration,
};

use super::{Change, OnStep, report};
use crate::aws::if_there;
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::{Bucket, Stack};

/// Creates the buckets; returns their names.
pub(super) async fn ensure(
    stack: &Stack,
    client: &Client,
    suffix: &str,
    on_step: &mut OnStep<'_>,
) -> Result<BTreeMap<String, String>, LocalStackError> {
    let mut buckets = BTreeMap::new();
    for (key, bucket) in &stack.buckets {
        let name = names::bucket(key, suffix);
        let change = ensure_one(client, &name, bucket).await?;
        report(on_step, "bucket", &name, change);
        buckets.insert(key.clone(), name);
    }
    Ok(buckets)
}

async fn ensure_one(client: &Client, name: &str, bucket: &Bucket) -> Result<Change, LocalStackError> {
    let found = client.head_bucket().bucket(name).send().await;
    if if_there(found, HeadBucketError::is_not_found, format!("look up bucket {name}"))?.is_some() {
        return Ok(Change::Unchanged);
    }
    client.create_bucket().bucket(name).send().await.map_err(LocalStackError::aws(format!("create bucket {name}")))?;
    if bucket.versioned {
        let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        client
            .put_bucket_versioning()
            .bucket(name)
            .versioning_configuration(versioning)
            .send()
            .await
            .map_err(LocalStackError::aws(format!("version bucket {name}")))?;
    }
    if let Some(days) = bucket.expire_days {
        let failed = || format!("set the lifecycle of bucket {name}");
        let rule = LifecycleRule::builder()
            .id("expire")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .expiration(LifecycleExpiration::builder().days(days).build())
            .build()
            .map_err(LocalStackError::aws(failed()))?;
        let lifecycle =
            BucketLifecycleConfiguration::builder().rules(rule).build().map_err(LocalStackError::aws(failed()))?;
        client
            .put_bucket_lifecycle_configuration()
            .bucket(name)
            .lifecycle_configuration(lifecycle)
            .send()
            .await
            .map_err(LocalStackError::aws(failed()))?;
    }
    Ok(Change::Created)
}
