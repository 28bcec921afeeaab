import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { connectNats } from './connection.ts';

const INFO = `INFO ${JSON.stringify({ server_id: 'S', version: '2.15.1', proto: 1, max_payload: 1_048_576, headers: true })}\r\n`;

let server: Server;
/** What it says to the next clients instead of taking them. */
let errors: string[];
let clients: number;

beforeEach(async () => {
  [errors, clients] = [[], 0];
  server = createServer((socket) => {
    clients++;
    const error = errors.shift();
    socket.on('error', () => undefined);
    socket.write(INFO);
    if (error !== undefined) return void socket.end(`-ERR '${error}'\r\n`);
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) socket.write('PONG\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => server.close());

const address = (): string => `nats://user:password@127.0.0.1:${(server.address() as AddressInfo).port}`;

it('tries again where the server found it slow to name itself', async () => {
  errors = ['Authentication Timeout'];
  await using link = await connectNats(address(), { name: 'test' });
  expect([link.isConnected, clients]).toEqual([true, 2]);
});

it('does not try again with credentials that are refused', async () => {
  errors = ['Authorization Violation', 'Authorization Violation'];
  await expect(connectNats(address(), { name: 'test' })).rejects.toMatchObject({ code: 'refused' });
  expect(clients).toBe(1);
});

it('leaves a server that hangs with what was sent half taken, and goes to another, not to it again', async () => {
  const reached: number[] = [];
  const serve = async (): Promise<Server> => {
    const one = createServer((socket) => {
      reached.push((one.address() as AddressInfo).port);
      const isFirst = reached.length === 1; // the client picks it
      socket.on('error', () => undefined);
      socket.write(INFO);
      socket.once('data', () => {
        socket.write('PONG\r\n');
        if (isFirst) socket.pause();
      });
    });
    one.listen(0, '127.0.0.1');
    await once(one, 'listening');
    return one;
  };
  const servers = [await serve(), await serve()];
  const urls = servers.map((one) => `nats://user:password@127.0.0.1:${(one.address() as AddressInfo).port}`).join();
  const link = await connectNats(urls, { name: 'test', pingMs: 200 });
  const reconnected = new Promise<string>((resolve) => {
    link.onStatus((status) => status.kind === 'reconnected' && resolve(status.server));
  });
  const megabyte = new Uint8Array(1_000_000);
  for (let sent = 0; sent < 32; sent++) link.nc.publish('big', megabyte);
  expect(await reconnected).toBe(`127.0.0.1:${reached[1]}`);
  expect(new Set(reached).size).toBe(2);
  await link.close(0);
  for (const one of servers) one.close();
});
