/** weft cluster create NAME: this peer founds a cluster, and is its first admin. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CERTIFICATE_LIFETIME,
  checkFounding,
  clusterPlaces,
  foundClusterHome,
  LOG_LIMITS,
  identityOfSeed,
  InClusterError,
  readClusterPin,
  rootKeyLine,
  writeRootKey,
} from '../../trust/index.ts'
import type { OpenedCluster, Threshold } from '../../trust/index.ts'
import type { CommandContext } from '../context.ts'
import { BadValueError, UsageError } from '../errors.ts'
import { formatSpan } from '../format.ts'
import { printable } from '../text.ts'
import { recorded } from '../site-log.ts'
import { parseDuration } from '../values.ts'
import { clusterNeeds, holdingHome, refuseRunning } from './access.ts'

/** A time, or `off`: 0. @throws BadValueError */
export function lifetimeOf(text: string): number {
  const { least, most } = CERTIFICATE_LIFETIME
  const ms = text === 'off' ? 0 : parseDuration(text)
  if (ms === undefined || (text !== 'off' && ms < least) || ms > most)
    throw new BadValueError('--certificates', text, 'a time such as 24h, or off', '10s at least and 366d at most')
  return ms
}

/** `2of3`, or `2`: as many must sign as there are. @throws BadValueError */
export function thresholdOf(text: string): Threshold {
  const match = /^(\d{1,2})(?:of(\d{1,2}))?$/.exec(text)
  const k = Number(match?.[1] ?? 0)
  const n = Number(match?.[2] ?? k)
  if (k < 1 || k > n || n > LOG_LIMITS.admins)
    throw new BadValueError('--admins', text, 'KofN', `for example 2of3; at most ${LOG_LIMITS.admins} admins`)
  return { k, n }
}

export async function create(context: CommandContext): Promise<void> {
  const { flags, out, home, io } = context
  const name = flags.argument(1)
  if (name === undefined) throw new UsageError('weft cluster create needs NAME', 'usage: weft cluster create NAME')
  const threshold = thresholdOf(flags.text('admins') ?? '1of1')
  const asked = flags.text('certificates')
  const certificates = asked === undefined ? CERTIFICATE_LIFETIME.founded : lifetimeOf(asked)
  const offline = flags.text('root') === 'offline'
  const file = flags.text('out')
  const pin = await readClusterPin(home)
  if (pin !== undefined) throw new InClusterError(pin.name)
  await refuseRunning(context, 'found a cluster')
  const founder = { name: flags.text('name') ?? '', site: flags.text('site') ?? '' }
  checkFounding({ name, founder })
  const seed = io.random.bytes(32)
  const place = file ?? (offline ? undefined : clusterPlaces(home).rootKey)
  // first: a cluster whose root key nobody has could never be recovered
  if (place !== undefined) await writeRootKey(place, seed)
  const needs = await clusterNeeds(context)
  const root = identityOfSeed(seed)
  const init = { name, threshold, founder, root, certificates }
  const found = (): Promise<OpenedCluster> =>
    recorded(
      context,
      { what: 'cluster.create' },
      needs.identity,
      () => foundClusterHome(needs, home, init),
      ({ cluster }) => cluster.id,
    )
  const opened = await holdingHome(context, found).catch(async (error: unknown) => {
    if (place !== undefined) await rm(place, { force: true })
    throw error
  })
  const { cluster } = opened
  const kept = { id: root.id, file: place ?? null, key: place === undefined ? rootKeyLine(seed) : null }
  opened.close()
  if (out.structured) {
    out.document({
      schema: 'weft.cluster-created/1',
      id: cluster.id,
      name,
      admin: cluster.self,
      threshold,
      root_id: kept.id,
      root_file: kept.file,
      root_key: kept.key,
      certificates_ms: certificates,
    })
    return
  }
  if (kept.key !== null) {
    out.line(kept.key)
    out.note('the root key: this is the only time that it is shown. Keep it where no machine reads it')
  } else {
    out.note(`the root key is in ${printable(kept.file ?? '')}: it replaces lost admins, so keep a copy elsewhere`)
  }
  if (certificates > 0)
    out.note(
      `members are certified for ${formatSpan(certificates)}, by admins that run; whose is over is refused (weft cluster certificates)`,
    )
  out.note(`cluster ${printable(name)} (${cluster.id.slice(0, 16)}…): this peer is its admin. Now: weft up`)
  out.note(`then let others in:  weft invite create   (home: ${printable(join(home))})`)
}
