import { connectNats, type NatsLink } from '@belfry/adapter-nats';

import type { Scene } from '../scene.ts';

interface StreamInfo {
  readonly created: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: { readonly bytes: number; readonly messages: number; readonly first_seq: number };
}

/** With a connection of the operator's. */
export async function asOperator<T>(
  { cluster }: Pick<Scene, 'cluster'>,
  act: (link: NatsLink) => Promise<T>,
): Promise<T> {
  await using link = await connectNats(cluster.natsUrl, { name: 'operator' });
  return await act(link);
}

/** Undefined: it is not there. */
export async function infoOf({ nc }: NatsLink, stream: string): Promise<StreamInfo | undefined> {
  const answer = (await nc.request(`$JS.API.STREAM.INFO.${stream}`)).json<StreamInfo | { readonly error: unknown }>();
  return 'error' in answer ? undefined : answer;
}

/** Deletes a stream, and looks whether it is gone: not there, or there again as another one. */
export async function deleted(scene: Pick<Scene, 'cluster' | 'blame'>, stream: string): Promise<void> {
  await asOperator(scene, async (link) => {
    const before = await infoOf(link, stream);
    const answer = (await link.nc.request(`$JS.API.STREAM.DELETE.${stream}`)).json<{ readonly success?: boolean }>();
    if (before === undefined || answer.success !== true)
      throw new Error(`${stream} cannot be deleted: ${JSON.stringify(answer)}`);
    if ((await infoOf(link, stream))?.created === before.created) scene.blame(`${stream} was not gone`);
  });
}

/** Waits until a program has made a stream anew. */
export async function madeAnew(scene: Pick<Scene, 'cluster' | 'measured'>, stream: string): Promise<void> {
  const fromMs = performance.now();
  await asOperator(scene, async (link) => {
    const isThere = async (): Promise<boolean> => (await infoOf(link, stream)) !== undefined;
    await scene.cluster.until(`${stream} is made anew`, isThere);
  });
  scene.measured(`${stream} was there again after`, performance.now() - fromMs);
}
