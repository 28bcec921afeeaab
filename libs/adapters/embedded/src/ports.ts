import { createServer } from 'node:net';

import { EmbeddedError, errnoOf } from './errors.ts';

export const LOOPBACK = '127.0.0.1';

/** Listens for a moment: the port that was given, or the error's name. */
function tryListen(port: number): Promise<number | string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.unref();
    server.once('error', (error) => resolve(errnoOf(error) ?? error.message));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const address = server.address();
      const given = address !== null && typeof address === 'object' ? address.port : port;
      server.close(() => resolve(given));
    });
  });
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const port = await tryListen(0);
  if (typeof port === 'number') return port;
  throw new EmbeddedError('port_in_use', `no free port on ${LOOPBACK}: ${port}`);
}

/** Makes sure that a fixed port can be had; `flag` is how the user gives another one. */
export async function requirePort(port: number, server: string, flag: string): Promise<void> {
  const result = await tryListen(port);
  if (result === port) return;
  const reason = result === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${String(result)})`;
  throw new EmbeddedError(
    'port_in_use',
    `port ${port}, where ${server} should listen, ${reason}; give another one with ${flag} (0: any free port)`,
  );
}
