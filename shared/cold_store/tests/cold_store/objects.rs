//! Objects are written once, read back whole, and an altered one is noticed.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use isotherm_cold_store::objects::{ObjectError, PutOutcome, Source};
use isotherm_cold_store::{ObjectDigest, ObjectHead, ObjectStore, Sha256Digest};
use isotherm_lab::http_faults::{Call, HttpFaults, RawReply, Verdict};
use isotherm_lab::ministack::Ministack;
use isotherm_types::{Classified, Disposition};

use crate::bucket::Bucket;

/// What S3 vouches for.
fn told(head: &ObjectHead) -> (u64, Option<Sha256Digest>) {
    (head.size_bytes, head.sha256)
}

#[tokio::test]
async fn an_object_is_written_once_and_an_altered_one_is_noticed() {
    let bucket = Bucket::create().await;
    let objects = &bucket.objects;
    let (bytes, other) = (Bytes::from_static(b"first"), Bytes::from_static(b"other"));
    let (digest, other_digest) = (ObjectDigest::of(&bytes), ObjectDigest::of(&other));

    assert_eq!(objects.read("a/b", 100).await.unwrap(), None);
    assert_eq!(objects.size_bytes("a/b").await.unwrap(), None);
    assert!(matches!(objects.verify("a/b", &digest).await, Err(ObjectError::Missing { .. })));

    let put = async |bytes: &Bytes, digest| objects.put_if_absent("a/b", Source::Bytes(bytes), digest).await;
    assert_eq!(put(&bytes, &digest).await.unwrap(), PutOutcome::Written);
    assert_eq!(put(&bytes, &digest).await.unwrap(), PutOutcome::AlreadyThere);
    let refused = put(&other, &other_digest).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.object_conflict", Disposition::GiveUp));
    assert_eq!(objects.read("a/b", 5).await.unwrap(), Some(bytes));
    assert!(matches!(objects.read("a/b", 4).await, Err(ObjectError::TooLarge { .. })));
    assert_eq!(objects.size_bytes("a/b").await.unwrap(), Some(5));
    let head = objects.head("a/b").await.unwrap().unwrap();
    assert_eq!(told(&head), (5, Some(digest.sha256)));
    objects.verify("a/b", &digest).await.unwrap();

    bucket.overwrite("a/b", b"firsT").await;
    assert_eq!(told(&objects.head("a/b").await.unwrap().unwrap()), (5, None));
    assert!(matches!(objects.verify("a/b", &digest).await, Err(ObjectError::Altered { .. })));
}

#[tokio::test]
async fn a_large_file_is_written_and_a_wrong_digest_is_refused_on_arrival() {
    let bucket = Bucket::create().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let digest = ObjectDigest::of(&bytes);
    let source = Source::File(file.path());
    assert_eq!(bucket.objects.put_if_absent("large", source, &digest).await.unwrap(), PutOutcome::Written);
    assert_eq!(bucket.objects.put_if_absent("large", source, &digest).await.unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(bucket.objects.read_digest("large").await.unwrap(), Some(digest));

    // The file changed on disk after it was hashed, say.
    let wrong = ObjectDigest::of(b"something else");
    bucket.objects.put_if_absent("wrong", source, &wrong).await.unwrap_err();
    assert_eq!(bucket.objects.size_bytes("wrong").await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_too_long_for_one_call_is_put_in_parts_on_the_same_condition() {
    const PART_BYTES: u64 = 5 << 20;
    let bucket = Bucket::create().await;
    let objects = bucket.objects.clone().with_parts_of(PART_BYTES);
    let bytes: Vec<u8> = (0..11_000_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let digest = ObjectDigest::of(&bytes);
    let source = Source::File(file.path());
    assert_eq!(objects.put_if_absent("long", source, &digest).await.unwrap(), PutOutcome::Written);
    let head = bucket.client.head_object().bucket(objects.bucket()).key("long").send().await.unwrap();
    assert!(head.e_tag().unwrap().trim_matches('"').ends_with("-3"), "three parts: {head:?}");
    objects.verify("long", &digest).await.unwrap();

    // By what was written in parts, and by what was written at once.
    assert_eq!(objects.put_if_absent("long", source, &digest).await.unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(bucket.objects.put_if_absent("short", source, &digest).await.unwrap(), PutOutcome::Written);
    assert_eq!(objects.put_if_absent("short", source, &digest).await.unwrap(), PutOutcome::AlreadyThere);
    bucket.overwrite("taken", b"other").await;
    let refused = objects.put_if_absent("taken", source, &digest).await.unwrap_err();
    assert!(matches!(refused, ObjectError::Conflict { .. }), "{refused}");
    assert_eq!(objects.read("taken", 5).await.unwrap(), Some(Bytes::from_static(b"other")));

    let begun = bucket.client.list_multipart_uploads().bucket(objects.bucket()).send().await.unwrap();
    assert_eq!(begun.uploads().len(), 0, "no parts of what was refused are left");
}

/// An upload in parts is ended, and the answer is the one to whoever ends it once more because the first answer was lost.
/// Source: `CompleteMultipartUpload`, `NoSuchUpload`.
fn ended_twice(call: &Call) -> Verdict {
    if call.method() != "POST" || !call.path().contains("uploadId=") {
        return Verdict::Pass;
    }
    let body =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>";
    Verdict::PassOnAndAnswer(RawReply { status: 404, content_type: "application/xml", body: body.into() })
}

#[tokio::test]
async fn an_upload_in_parts_whose_first_answer_was_lost_is_there() {
    let bucket = Bucket::create().await;
    let emulator = Ministack::shared().await.unwrap();
    let proxy = HttpFaults::start(emulator.endpoint_url(), ended_twice).await.unwrap();
    let config = bucket.client.config().to_builder().endpoint_url(proxy.endpoint_url()).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let objects = ObjectStore::new(client, bucket.objects.bucket()).with_parts_of(5 << 20);
    let bytes = vec![7; 6_000_000];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let digest = ObjectDigest::of(&bytes);
    let put = objects.put_if_absent("long", Source::File(file.path()), &digest).await.unwrap();
    assert_eq!(put, PutOutcome::AlreadyThere);
    bucket.objects.verify("long", &digest).await.unwrap();
    assert!(objects.puts_in_parts(digest.size_bytes) && !bucket.objects.puts_in_parts(digest.size_bytes));
    let head = objects.head("long").await.unwrap().unwrap();
    assert_eq!(told(&head), (digest.size_bytes, None), "S3 knows those of the parts");
}

#[tokio::test]
async fn of_two_writers_in_parts_at_once_one_writes() {
    let bucket = Bucket::create().await;
    let objects = bucket.objects.clone().with_parts_of(5 << 20);
    let write = async |filling: u8| {
        let bytes = vec![filling; 6_000_000];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        objects.put_if_absent("one", Source::File(file.path()), &ObjectDigest::of(&bytes)).await
    };
    let both = tokio::join!(write(1), write(2));
    let written = [&both.0, &both.1].into_iter().filter(|put| matches!(put, Ok(PutOutcome::Written)));
    assert_eq!(written.count(), 1, "{both:?}");
    let refused = [both.0, both.1].into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.code(), "cold_store.object_conflict", "{refused}");
}

/// All bytes of a part.
async fn part(objects: &ObjectStore, e_tag: &str, bytes: std::ops::Range<u64>) -> Result<Vec<u8>, ObjectError> {
    let (mut part, mut read) = (objects.read_part("a/b", e_tag, bytes).await?, Vec::new());
    while let Some(piece) = part.next().await? {
        read.extend_from_slice(&piece);
    }
    Ok(read)
}

#[tokio::test]
async fn a_part_is_read_of_the_object_that_was_looked_up_and_of_no_other() {
    let bucket = Bucket::create().await;
    let (objects, bytes) = (&bucket.objects, Bytes::from_static(b"0123456789"));
    let digest = ObjectDigest::of(&bytes);
    let put = objects.put_if_absent("a/b", Source::Bytes(&bytes), &digest).await.unwrap();
    assert_eq!(put, PutOutcome::Written);
    let e_tag = objects.head("a/b").await.unwrap().unwrap().e_tag.unwrap();
    for (asked, expected) in [(2..5, "234"), (0..10, "0123456789"), (9..10, "9"), (4..4, ""), (0..0, "")] {
        let read = part(objects, &e_tag, asked.clone()).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), expected, "{asked:?}");
    }

    // Whoever does not know ranges sends the whole object, whose first bytes are not those that were asked for.
    let whole = |_: &Call| Verdict::PassOnWithout("range");
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), whole).await.unwrap();
    let config = bucket.client.config().to_builder().endpoint_url(proxy.endpoint_url()).build();
    let behind = ObjectStore::new(aws_sdk_s3::Client::from_conf(config), objects.bucket());
    let other = part(&behind, &e_tag, 2..5).await.unwrap_err();
    assert_eq!((other.code(), other.disposition()), ("cold_store.other_part", Disposition::GiveUp));

    bucket.overwrite("a/b", b"abcdefghij").await;
    let changed = part(objects, &e_tag, 2..5).await.unwrap_err();
    assert_eq!((changed.code(), changed.disposition()), ("cold_store.object_changed", Disposition::Retry));
    bucket.client.delete_object().bucket(objects.bucket()).key("a/b").send().await.unwrap();
    assert!(matches!(part(objects, &e_tag, 2..5).await, Err(ObjectError::Missing { .. })));
}

#[tokio::test]
async fn a_signed_url_reads_without_credentials_or_headers() {
    let bucket = Bucket::create().await;
    bucket.overwrite("cold/x y.parquet", b"0123456789").await;
    let url = bucket.objects.presign_get("cold/x y.parquet", Duration::from_secs(60)).await.unwrap();
    let client = reqwest::Client::new();
    let range = client.get(&url).header("range", "bytes=2-4").send().await.unwrap();
    let status = range.status();
    assert_eq!((status.as_u16(), range.text().await.unwrap().as_str()), (206, "234"), "{url}");
    assert!(url.contains("X-Amz-SignedHeaders=host&"), "{url}");
    assert!(bucket.objects.presign_get("x", Duration::from_secs(8 * 86_400)).await.is_err());
}

#[tokio::test]
async fn a_copy_in_a_folder_is_read_like_the_bucket_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/b"), &large).unwrap();
    let objects = ObjectStore::folder(folder.path());
    assert_eq!(objects.bucket(), folder.path().to_str().unwrap());

    let (digest, size_bytes) = (ObjectDigest::of(&large), large.len() as u64);
    assert_eq!(objects.read("a/b", size_bytes).await.unwrap().unwrap(), large);
    assert!(matches!(objects.read("a/b", size_bytes - 1).await, Err(ObjectError::TooLarge { .. })));
    assert_eq!(objects.read_digest("a/b").await.unwrap(), Some(digest));
    assert_eq!(objects.size_bytes("a/b").await.unwrap(), Some(size_bytes));
    // Below what is a file there is nothing, as in a bucket.
    for missing in ["a/c", "b/c", "a/b/c"] {
        assert_eq!(objects.read(missing, 10).await.unwrap(), None, "{missing}");
        assert_eq!(objects.size_bytes(missing).await.unwrap(), None, "{missing}");
    }
    let unreadable = objects.read("a", 10).await.unwrap_err();
    assert_eq!((unreadable.code(), unreadable.disposition()), ("cold_store.folder", Disposition::GiveUp));

    let bytes = Bytes::from_static(b"new");
    let put = objects.put_if_absent("a/c", Source::Bytes(&bytes), &ObjectDigest::of(&bytes)).await.unwrap_err();
    let signed = objects.presign_get("a/b", Duration::from_secs(60)).await.unwrap_err();
    assert_eq!((put.code(), signed.code()), ("cold_store.only_a_copy", "cold_store.only_a_copy"));
    assert!(!folder.path().join("a/c").exists());
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_object_and_an_unreachable_s3_is_retried() {
    let bucket = Bucket::create().await;
    let nowhere = ObjectStore::new(bucket.client.clone(), "cold-that-never-was");
    let refused = nowhere.read("a", 10).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.s3", Disposition::GiveUp));

    let config = bucket.client.config().to_builder().endpoint_url("http://127.0.0.1:1").build();
    let unreachable = ObjectStore::new(aws_sdk_s3::Client::from_conf(config), "cold");
    assert_eq!(unreachable.read("a", 10).await.unwrap_err().disposition(), Disposition::Retry);
}
