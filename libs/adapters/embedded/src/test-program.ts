// A program that starts the servers, says so in one line, and waits to be killed: <data dir> [remove]
import { startEmbedded } from './embedded.ts';

const servers = await startEmbedded({
  dataDir: process.argv[2] ?? '',
  natsPort: 0,
  postgresPort: 0,
  removeDataOnStop: process.argv[3] === 'remove',
});
console.log(JSON.stringify({ natsUrl: servers.natsUrl, postgresUrl: servers.postgresUrl, pids: servers.pids }));
setInterval(() => undefined, 60_000);
