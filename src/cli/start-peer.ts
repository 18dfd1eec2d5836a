/** The seam between `weft up` and the composition root: a peer with its API on the socket and on HTTP. */
import { join } from 'node:path'
import { createApi, PortInUseError } from '../api/index.ts'
import type { Api } from '../api/index.ts'
import { auditedCall, BatchStore, Journal, runPeer, VERSION } from '../peer/index.ts'
import type { HomePaths, JournalNeeds, Peer } from '../peer/index.ts'
import { createApiKeys, createAtRest } from '../trust/index.ts'
import type { AtRest } from '../trust/index.ts'
import { systemRandom } from '../util/index.ts'
import type { Logger } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { CommandContext } from './context.ts'
import { allErrorInfos } from './error-tables.ts'
import type { UpInit } from './peer-local.ts'

const DEFAULT_HTTP = { host: '127.0.0.1', port: 7333 } as const
/** Streams that are still open when the requests have ended get this long. */
const CLOSE_DRAIN_MS = 1_000

/** Resolves when the peer listens, its socket answers, and what it was asked to serve can be served. */
export async function startPeer(_context: CommandContext, init: UpInit, signal: AbortSignal): Promise<Peer> {
  const { http, httpHosts = [], cors = [], journal: wanted = false, ...rest } = init
  const { peer, paths, clock, telemetry, logger, site, identity } = await runPeer(rest, signal)
  const keys = createApiKeys({ clock, random: systemRandom() }, { directory: paths.keys })
  const atRest = createAtRest(identity, systemRandom())
  const journal = await openJournal({ clock, atRest, log: (line) => logger.warn({}, line) }, paths, wanted)
  const batches = openBatches(clock, join(paths.state, 'batches.sqlite'), logger, atRest)
  const api = createApi(
    {
      peer,
      clock,
      telemetry,
      logger,
      keys,
      called: auditedCall(site),
      acting: (who, action) => site.as(who, action),
      catalogueErrors: await allErrorInfos(),
      ...(batches && { batches }),
      ...journal,
    },
    { version: VERSION, hosts: httpHosts, cors },
  )
  peer.beforeShutdown(async () => {
    await api.close({ drain: CLOSE_DRAIN_MS }).finally(() => {
      journal.journal?.close()
      batches?.close()
    })
  })
  try {
    await api.listenSocket(paths.socket)
    if (http !== null) peer.http = await listenHttp(api, http)
  } catch (error) {
    await peer.stop({ drain: 0 })
    throw error
  }
  return peer
}

/** Undefined: the file is damaged. The peer serves all else, and nothing of the file is lost. */
function openBatches(clock: Clock, path: string, logger: Logger, atRest: AtRest): BatchStore | undefined {
  try {
    return new BatchStore(clock, path, undefined, atRest)
  } catch (error) {
    logger.error({ err: error, path }, 'batches cannot be opened: none are taken until this file is moved away')
    return undefined
  }
}

async function openJournal(
  needs: JournalNeeds,
  { state }: HomePaths,
  wanted: boolean,
): Promise<{ readonly journal?: Journal }> {
  const directory = join(state, 'journal')
  if (wanted) return { journal: await Journal.open(needs, directory) }
  await Journal.discard(directory)
  return {}
}

/** The address that was asked for, or no other; without one the usual port, and a free one when that is taken. */
async function listenHttp(api: Api, http: UpInit['http']): Promise<string> {
  if (http !== undefined && http !== null) return (await api.listen(http)).url
  try {
    return (await api.listen(DEFAULT_HTTP)).url
  } catch (error) {
    if (!(error instanceof PortInUseError)) throw error
    return (await api.listen({ ...DEFAULT_HTTP, port: 0 })).url
  }
}
