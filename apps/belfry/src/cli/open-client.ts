import { Belfry } from '@belfry/sdk';

import type { CliClient } from './client.ts';

/** The SDK's client in the shape that the commands need. */
export async function openClient(url: string, namespace: string): Promise<CliClient> {
  return new Belfry({ url, namespace });
}
