/** Fleet files: peers and links that stand in for real ones. The form is described in peers/README.md. */
import { z } from 'zod'
import { parseJsonText } from '../util/index.ts'
import { MAX_BATCH_POINTS } from './curve.ts'
import { DEVICES } from './devices.ts'
import { FleetFileError, FleetLinkError, FleetPeerError } from './errors.ts'
import type { BatchPoint, PlanInput, PlanLink, PlanPeer } from './types.ts'

/** A thousand peers with a link for each pair of them take less. */
export const MAX_FLEET_BYTES = 64 << 20
/** What the planner is built for, with room to spare. */
const MAX_FLEET_PEERS = 2_000
const MAX_NAME = 100
/** Above any machine, below what sums could not hold. */
const MAX_FIGURE = 1e18
const MAX_MS = 3_600_000

const name = z.string().min(1).max(MAX_NAME)
const figure = z.number().min(0).max(MAX_FIGURE)
/** A second. Below one, times are no numbers any more, and nothing would fit where what is wrong is the figure. */
const rate = z.number().min(1).max(MAX_FIGURE)
const ms = z.number().min(0).max(MAX_MS)
const blockMs = z.number().gt(0).max(MAX_MS)

/** Runs of so many rows take so many times as long as one of a single row: measured, as a peer tells it. */
const batch = z
  .array(z.strictObject({ rows: z.number().int().min(2).max(1_024), factor: z.number().gt(0).max(1e6) }))
  .max(MAX_BATCH_POINTS)
  .refine(
    (points) => points.every(({ rows, factor }, at) => at === 0 || isBeyond(points[at - 1]!, { rows, factor })),
    'does not rise',
  )

function isBeyond(before: BatchPoint, { rows, factor }: BatchPoint): boolean {
  return rows > before.rows && factor >= before.factor
}

const linkFigures = {
  rtt_ms: ms,
  /** Bytes a second. */
  bandwidth: rate,
  jitter_ms: ms.optional(),
  loss: z.number().min(0).max(0.9).optional(),
  relayed: z.boolean().optional(),
}

const peer = z.strictObject({
  name,
  device: name.optional(),
  site: name.optional(),
  /** 0: not known, where the time of a block is. */
  speed: z.union([z.literal(0), rate]).optional(),
  threads: z.number().int().min(1).max(4_096).optional(),
  memory: figure.optional(),
  reserved: figure.optional(),
  bandwidth: rate.optional(),
  block_ms: blockMs.optional(),
  prefill_ms: blockMs.optional(),
  batch: batch.optional(),
})

const fleet = z.strictObject({
  schema: z.literal('weft.fleet/1'),
  description: z.string().max(1_000).optional(),
  origin: name,
  sites: z.record(name, z.strictObject(linkFigures)).optional(),
  peers: z.array(peer).min(1).max(MAX_FLEET_PEERS),
  links: z
    .array(z.strictObject({ from: name, to: name, ...linkFigures }))
    .max(MAX_FLEET_PEERS ** 2)
    .optional(),
})

type FleetFile = z.output<typeof fleet>
type FleetPeer = FleetFile['peers'][number]
type FleetLinkFigures = z.output<z.ZodObject<typeof linkFigures>>

export type Fleet = Pick<PlanInput, 'peers' | 'origin'> & {
  readonly links: readonly PlanLink[]
  readonly description?: string
}

/** @param file its name, for errors. @throws FleetFileError, FleetPeerError, FleetLinkError */
export function parseFleet(text: string, file: string): Fleet {
  if (text.length > MAX_FLEET_BYTES) throw new FleetFileError(file, `${text.length} characters are too many`)
  let value: unknown
  try {
    value = parseJsonText(text)
  } catch (error) {
    throw new FleetFileError(file, `it is not JSON (${(error as Error).message})`)
  }
  const result = fleet.safeParse(value)
  if (!result.success) {
    const [issue] = result.error.issues
    throw new FleetFileError(file, issue?.message ?? 'it has another shape', issue?.path.join('.'))
  }
  return fleetOf(result.data, file)
}

function fleetOf(data: FleetFile, file: string): Fleet {
  const sites = new Map(Object.entries(data.sites ?? {}))
  const names = new Set<string>()
  for (const one of data.peers) {
    if (names.has(one.name)) throw new FleetPeerError(file, one.name, 'stands twice among the peers')
    if (sites.has(one.name)) throw new FleetPeerError(file, one.name, 'is the name of a peer and of a site')
    if (one.site !== undefined && !sites.has(one.site)) {
      throw new FleetPeerError(file, one.name, `is at ${one.site}, which is none of the sites`)
    }
    names.add(one.name)
  }
  if (!names.has(data.origin)) throw new FleetPeerError(file, data.origin, 'is the origin, but none of the peers')
  const peers = data.peers.map((one) => peerOf(one, file))
  const links = linksOf(data, sites, names, file)
  const { description } = data
  return { peers, links, origin: data.origin, ...(description === undefined ? {} : { description }) }
}

function peerOf(given: FleetPeer, file: string): PlanPeer {
  const device = given.device === undefined ? undefined : DEVICES[given.device]
  if (given.device !== undefined && (device === undefined || !Object.hasOwn(DEVICES, given.device))) {
    const known = Object.keys(DEVICES).join(', ')
    throw new FleetPeerError(file, given.name, `is a ${given.device}, and that device is not known (${known})`)
  }
  const { speed = device?.speed, memory = device?.memory, bandwidth = device?.bandwidth } = given
  if (memory === undefined) throw new FleetPeerError(file, given.name, 'has neither a device nor a memory')
  if ((speed === undefined || speed === 0) && given.block_ms === undefined) {
    throw new FleetPeerError(file, given.name, 'has neither a device, a speed nor a time of a block (block_ms)')
  }
  return {
    id: given.name,
    speed: speed ?? 0,
    threads: given.threads ?? device?.threads ?? 1,
    memory,
    reserved: given.reserved ?? 0,
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(given.block_ms === undefined ? {} : { blockMs: given.block_ms }),
    ...(given.prefill_ms === undefined ? {} : { prefillMs: given.prefill_ms }),
    ...(given.batch === undefined ? {} : { batchCurve: given.batch }),
  }
}

/** A link between two peers goes before one of their sites, and that before the one within a site. */
function linksOf(
  data: FleetFile,
  sites: ReadonlyMap<string, FleetLinkFigures>,
  names: ReadonlySet<string>,
  file: string,
): PlanLink[] {
  const given = new Map<string, FleetLinkFigures>()
  for (const { from, to, ...figures } of data.links ?? []) {
    for (const end of [from, to]) {
      if (!names.has(end) && !sites.has(end)) {
        throw new FleetLinkError(file, from, to, `names ${end}, which is no peer and no site`)
      }
    }
    if (from === to) throw new FleetLinkError(file, from, to, 'leads back to where it begins')
    const key = keyOf(from, to)
    if (given.has(key)) throw new FleetLinkError(file, from, to, 'stands twice')
    given.set(key, figures)
  }
  if (sites.size === 0)
    return [...given].map(([key, figures]) => linkOf(...(JSON.parse(key) as [string, string]), figures))
  const links: PlanLink[] = []
  for (const one of data.peers) {
    for (const other of data.peers) {
      if (one === other) continue
      const figures = figuresBetween(one, other, given, sites)
      if (figures !== undefined) links.push(linkOf(one.name, other.name, figures))
    }
  }
  return links
}

function figuresBetween(
  one: FleetPeer,
  other: FleetPeer,
  given: ReadonlyMap<string, FleetLinkFigures>,
  sites: ReadonlyMap<string, FleetLinkFigures>,
): FleetLinkFigures | undefined {
  const ends = (peerOf: FleetPeer): string[] => [peerOf.name, ...(peerOf.site === undefined ? [] : [peerOf.site])]
  for (const from of ends(one)) {
    for (const to of ends(other)) {
      const found = given.get(keyOf(from, to)) ?? given.get(keyOf(to, from))
      if (found !== undefined) return found
    }
  }
  return one.site !== undefined && one.site === other.site ? sites.get(one.site) : undefined
}

function keyOf(from: string, to: string): string {
  return JSON.stringify([from, to])
}

function linkOf(from: string, to: string, figures: FleetLinkFigures): PlanLink {
  const { rtt_ms: rtt, bandwidth, jitter_ms: jitter = 0, loss = 0, relayed = false } = figures
  return { from, to, rtt, bandwidth, jitter, loss, relayed }
}
