import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

import { expect, it } from 'vitest';

import { Sessions } from './sessions.ts';

function message(kind: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const AUTHENTICATED = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const TERMINATED = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0'));

it('takes a connection that ends in the instant in which it is lent for lost', async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([AUTHENTICATED, READY, TERMINATED])));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sessions = new Sessions({
    url: `postgres://user:password@127.0.0.1:${(server.address() as AddressInfo).port}/db`,
    name: 'test',
    connections: 2,
    statementMs: 1_000,
    lockMs: 1_000,
  });
  try {
    for (let use = 0; use < 3; use++) {
      const outcome = await sessions.attempt((session) => session.query('SELECT 1'));
      expect(outcome).toMatchObject({ kind: 'retry', error: { code: 'BELFRY_POSTGRES_CONNECTION_LOST' } });
    }
    expect(sessions.isReachable).toBe(false);
    expect(sessions.losses).toBeGreaterThanOrEqual(3);
    expect(sockets.size).toBe(3);
  } finally {
    await sessions.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
