/** A mesh home for tests of sources: a store, a web server, and a clock on which waits pass a hundred times as fast. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { importModel } from '../../../src/models/index.ts'
import type { ImportNeeds } from '../../../src/models/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import type { Clock } from '../../../src/util/index.ts'
import { startFileServer } from './file-server.ts'
import type { FileServer } from './file-server.ts'

const quick: Clock = {
  ...systemClock(),
  after: (milliseconds, action) => systemClock().after(milliseconds / 100, action),
  sleep: (milliseconds, signal) => systemClock().sleep(milliseconds / 100, signal),
}

export interface SourceHome {
  readonly home: string
  readonly server: FileServer
  /** What was said of sources that failed. */
  readonly lines: string[]
  needs: ImportNeeds
  /** What lies in the downloads folder. */
  downloads(): string[]
  /** `imported`, or what was thrown. */
  attempt(source: string, signal?: AbortSignal): Promise<unknown>
}

export async function createSourceHome(home: string): Promise<SourceHome> {
  const server = await startFileServer()
  const lines: string[] = []
  const made: SourceHome = {
    home,
    server,
    lines,
    needs: {
      store: await createBlobStore({ directory: join(home, 'store') }),
      clock: quick,
      directory: join(home, 'partitions'),
      downloads: join(home, 'downloads'),
      log: (line) => lines.push(line),
      environment: { ...process.env, HF_ENDPOINT: server.url },
    },
    downloads: () => (existsSync(made.needs.downloads) ? readdirSync(made.needs.downloads) : []),
    attempt: (source, signal) =>
      importModel(made.needs, { source }, undefined, signal).then(
        () => 'imported',
        (error: unknown) => error,
      ),
  }
  return made
}
