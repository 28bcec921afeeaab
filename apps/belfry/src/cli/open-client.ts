import { Belfry } from '@belfry/sdk';

import type { CliClient } from './client.ts';

/** Somebody waits at a terminal: what does not answer soon does not run. */
const CONNECT_MS = 3_000;

const ignore = (): void => undefined;
/** What a command has to say of failures it says by its error. */
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** The SDK's client in the shape that the commands need. */
export async function openClient(url: string, namespace: string): Promise<CliClient> {
  return new Belfry({ url, namespace, connectTimeoutMs: CONNECT_MS, log: SILENT });
}
