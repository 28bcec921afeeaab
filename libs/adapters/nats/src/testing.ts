import { nuid } from '@nats-io/transport-node';

import { jsApi } from './api.ts';
import { bucketStream } from './buckets.ts';
import { connectNats } from './connection.ts';
import type { NatsLink } from './connection.ts';
import { natsNames } from './names.ts';
import type { NatsNames } from './names.ts';

/** Streams and subjects of one test on a shared server, and a connection to it. */
export interface TestInstallation {
  readonly link: NatsLink;
  readonly names: NatsNames;
  /** Deletes the streams and closes the connection. */
  dispose(): Promise<void>;
}

/** Names that no other test has. */
export async function testInstallation(url: string): Promise<TestInstallation> {
  const names = natsNames(`t${nuid.next()}`);
  const link = await connectNats(url, { name: 'test' });
  const streams = [...Object.values(names.streams), ...Object.values(names.buckets).map(bucketStream)];
  return {
    link,
    names,
    dispose: async () => {
      await Promise.all(streams.map((stream) => jsApi(link, `STREAM.DELETE.${stream}`)));
      await link.close();
    },
  };
}

/** The shared server of the test run. */
export function testNatsUrl(): string {
  const url = process.env.BELFRY_TEST_NATS_URL;
  if (url === undefined)
    throw new Error('BELFRY_TEST_NATS_URL is not set: run the tests through the root configuration');
  return url;
}
