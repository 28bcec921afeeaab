/**
 * What the heartbeats of many workers cost the leading supervisor: its desk, as the program has it, in a process of its own, is told one
 * heartbeat a second by each of them, through a real broker. Prints the processor time that it takes, in cores.
 *
 *   node tools/bench/worker-heartbeats.ts [--workers 10000] [--running 8] [--seconds 10]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { startTestServers } from '@belfry/adapter-embedded/testing';
import { connectNats } from '@belfry/adapter-nats';
import { natsMessenger } from '@belfry/program/src/server/messenger.ts';
import { OperatorsDesk } from '@belfry/program/src/server/operators/desk.ts';
import { executionId, subjects, taskIdOfKey, type ClusterReply } from '@belfry/protocol';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '10000' },
    running: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '10' },
    listen: { type: 'string' },
  },
});
const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };

if (values.listen === undefined) await tell(Number(values.workers), Number(values.running), Number(values.seconds));
else await listen(values.listen);

/** The supervisor's side: says what it has used whenever it is asked. */
async function listen(url: string): Promise<void> {
  const link = await connectNats(url, { name: 'desk' });
  const messenger = natsMessenger(link, QUIET);
  const desk = new OperatorsDesk({ shards: 256, messenger, log: QUIET, monotonic: () => performance.now() });
  desk.open({
    node: 'leader',
    term: 1,
    placement: undefined,
    nodes: () => [],
    order: () => Promise.resolve(undefined),
  });
  await link.nc.flush();
  process.on('message', () => process.send?.(process.cpuUsage()));
  process.on('disconnect', () => process.exit());
  process.send?.('ready');
}

async function tell(workers: number, running: number, seconds: number): Promise<void> {
  const servers = await startTestServers();
  const desk = fork(fileURLToPath(import.meta.url), ['--listen', servers.natsUrl]);
  await once(desk, 'message');
  const link = await connectNats(servers.natsUrl, { name: 'workers' });
  const executions = Array.from({ length: running }, (_, at) =>
    executionId(taskIdOfKey('shop', `k${at}`), 1_790_000_000_000),
  );
  const beats = Array.from({ length: workers }, (_, at) =>
    JSON.stringify({ worker: `w${at}`, queues: ['default'], capacity: 16, running: executions }),
  );
  const subject = subjects.workers('shop', 'heartbeat');
  // In slices of 10 ms, as so many workers would come.
  let sent = 0;
  const beginMs = performance.now();
  const pump = setInterval(() => {
    const due = Math.floor(((performance.now() - beginMs) / 1_000) * workers);
    for (; sent < due; sent++) link.nc.publish(subject, beats[sent % workers]);
  }, 10);
  const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const used = async (): Promise<number> => {
    desk.send('used');
    const [{ user, system }] = (await once(desk, 'message')) as [NodeJS.CpuUsage];
    return (user + system) / 1_000;
  };
  await settle(3_000); // all are known, and the code is warm
  const [fromMs, fromUsed, fromSent] = [performance.now(), await used(), sent];
  await settle(seconds * 1_000);
  const [toMs, toUsed, toSent] = [performance.now(), await used(), sent];
  const reply = await link.nc.request(subjects.operators('cluster'), '', { timeout: 5_000 });
  const { count, running: runningOfAll } = reply.json<ClusterReply>().workers;
  clearInterval(pump);
  desk.disconnect();
  await once(desk, 'exit');
  await link.close();
  await servers.stop();
  const bytes = Buffer.byteLength(beats[0] as string);
  console.log(
    `${count} workers known, ${runningOfAll} executions running; ${Math.round(((toSent - fromSent) / (toMs - fromMs)) * 1_000)} heartbeats of ` +
      `${bytes} bytes a second: ${((toUsed - fromUsed) / (toMs - fromMs)).toFixed(2)} cores`,
  );
}
