/** What `read` tells, asked once a turn of the event loop: one scrape reads many gauges, and each sum goes through all shards. */
export function onceATurn<T>(read: () => T): () => T {
  let told: { readonly value: T } | undefined;
  return () => {
    if (told === undefined) setImmediate(() => (told = undefined));
    return (told ??= { value: read() }).value;
  };
}
