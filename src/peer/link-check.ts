/** What this machine's network looks like to weft, and what to do about it: `weft netcheck`. */
import type { ConnectedPeer, InterfaceChoice, Network, Prober } from '../net/index.ts'
import type { LinkBook } from './link-book.ts'
import type { LinkProbe, NetCheck, NetVerdict } from './link-types.ts'
import type { ProgressSink } from './types.ts'

/** Probes follow one another, a second each at most: half a minute is what a person waits for. */
const MAX_PROBED = 24
/** So many are done before anybody asks how long it takes. */
const FEW = 3
const ECHOES = 5
/** Share of lost beats, and bytes a second, from which on a pair is worth a word. */
const LOSSY = 0.02
const SLOW = 2e6
/** Against which an answer over several peers suffers: each token crosses each link. */
const FAR_MS = 50

export interface NetCheckNeeds {
  readonly network: Network
  readonly prober: Prober
  readonly links: LinkBook
  readonly networkName: string
  readonly lan: 'open' | 'confirm' | 'off'
  nameOf(peer: string): string
  /** Peers seen and not joined. */
  readonly refused: number
}

/** @param only probes this peer alone */
export async function checkNetwork(
  needs: NetCheckNeeds,
  only: string | undefined,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<NetCheck> {
  const { network, links, prober } = needs
  const wanted = network.connected().filter((peer) => only === undefined || peer.id === only)
  const total = Math.min(wanted.length, MAX_PROBED)
  const probes = new Map<string, LinkProbe>()
  for (const peer of wanted.slice(0, MAX_PROBED)) {
    const rtt = await echoes(network, peer.id, signal)
    const result = await prober.probe(peer.id, signal)
    signal.throwIfAborted()
    links.probed(peer.id, result)
    probes.set(peer.id, { rtt_ms: rtt, ...result })
    if (total > FEW) progress({ type: 'progress', task: 'probing links', done: probes.size, total, unit: 'steps' })
  }
  // As they are now: some may have gone meanwhile, and the probes have moved their figures.
  const pairs = network.connected().map((peer) => pairOf(needs, peer, probes.get(peer.id) ?? null))
  const facts = {
    schema: 'weft.netcheck/1' as const,
    peer: network.id,
    network: needs.networkName,
    lan: needs.lan,
    interfaces: network.interfaces(),
    addresses: network.addresses(),
    ...network.reach(),
    pairs: pairs.sort((left, right) => (left.name < right.name ? -1 : 1)),
    seen_not_joined: needs.refused,
  }
  return { ...facts, verdict: verdictOf(facts) }
}

/** The beats may be old, or have met the busy start of a peer. */
async function echoes(network: Network, peer: string, signal: AbortSignal): Promise<number | null> {
  const times: number[] = []
  for (let echo = 0; echo < ECHOES; echo++) {
    const ms = await network.ping(peer, 0, signal).catch(() => null)
    signal.throwIfAborted()
    if (ms === null) break
    times.push(ms)
  }
  return times.sort((left, right) => left - right)[times.length >> 1] ?? null
}

function pairOf(needs: NetCheckNeeds, peer: ConnectedPeer, probe: LinkProbe | null): NetCheck['pairs'][number] {
  return { peer: peer.id, name: needs.nameOf(peer.id), rtt_ms: peer.rtt, ...needs.links.status(peer), probe }
}

/** One sentence on how it is, and a line for each thing that could be done. */
export function verdictOf(facts: Omit<NetCheck, 'verdict' | 'schema'>): NetVerdict {
  const { pairs, reachability } = facts
  const advice = [
    ...interfaceAdvice(facts.interfaces, facts.lan),
    ...(facts.seen_not_joined > 0
      ? ['peers were seen and have not joined: weft status says why, and what each of them needs']
      : []),
    ...(pairs.length === 0 && facts.lan === 'off'
      ? ['peers nearby are not looked for (--lan off): name one with weft up --bootstrap ADDRESS']
      : []),
    ...(reachability === 'private'
      ? ['others cannot dial this peer: open its port, or let one that can be dialled relay for it']
      : []),
    ...pairAdvice(pairs),
  ]
  if (pairs.length === 0) return { state: 'alone', text: 'no other peer is connected', advice: adviceOfAlone(advice) }
  const some = `${pairs.length} ${pairs.length === 1 ? 'peer is' : 'peers are'} connected`
  if (advice.length === 0) return { state: 'good', text: `${some}, and nothing is in the way`, advice }
  return {
    state: 'warning',
    text: `${some}, and ${advice.length === 1 ? 'one thing' : 'some things'} could be better`,
    advice,
  }
}

function adviceOfAlone(advice: readonly string[]): readonly string[] {
  if (advice.length > 0) return advice
  return ['start weft up on another machine of this network, or name one elsewhere: weft up --bootstrap ADDRESS']
}

function interfaceAdvice(interfaces: readonly InterfaceChoice[], lan: NetCheck['lan']): string[] {
  if (!interfaces.some(({ used }) => used)) return ['no network interface is used: name an address with --listen']
  const asked = interfaces.filter(({ heard }) => typeof heard === 'number')
  // Alone on a network nobody answers either; that is no fault of the network.
  if (lan === 'off' || asked.length > 0) return []
  return ['multicast DNS works on no interface, so peers nearby are not found: name one with --bootstrap ADDRESS']
}

function pairAdvice(pairs: NetCheck['pairs']): string[] {
  const names = (wanted: (pair: NetCheck['pairs'][number]) => boolean): string =>
    pairs
      .filter(wanted)
      .map(({ name }) => name)
      .join(', ')
  const of = (who: string, what: string): string[] => (who === '' ? [] : [`${who}: ${what}`])
  const slow = (rate: number | null | undefined): boolean => typeof rate === 'number' && rate < SLOW
  return [
    ...of(
      names(({ path }) => path === 'relayed'),
      'reached through a relay; a port that one of the two can dial would be faster',
    ),
    ...of(
      names(({ loss }) => loss !== null && loss > LOSSY),
      'heart-beats are lost; look at the radio or the cable',
    ),
    ...of(
      names(({ probe, rtt_ms }) => (probe?.rtt_ms ?? rtt_ms ?? 0) > FAR_MS),
      'far away: each token of an answer that is split with it waits for the round trip',
    ),
    ...of(
      names(({ bandwidth }) => slow(bandwidth?.down) || slow(bandwidth?.up)),
      'a slow line: models take long to fetch, and long prompts to cross',
    ),
  ]
}
