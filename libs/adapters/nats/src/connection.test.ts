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
