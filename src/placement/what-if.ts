/** `--what-if`: the mesh with something changed. */
import { DEVICES } from './devices.ts'
import { WhatIfError } from './errors.ts'
import type { PlanInput, PlanLink, PlanPeer } from './types.ts'

/** As of fleet files. */
const MAX_AMOUNT = 1e18
/** Any machine has a millionth of another's speed. */
const LEAST_TIMES = 1e-6
const SUFFIXES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 }
const MOST_CHANGES = 64

/** The names by which a person knows the peers; an id is known anyway. */
export type PeerNames = ReadonlyMap<string, string>

/** Each change on what the ones before it made. @throws WhatIfError */
export function applyWhatIf(input: PlanInput, changes: readonly string[], names: PeerNames = new Map()): PlanInput {
  if (changes.length > MOST_CHANGES) throw new WhatIfError(changes[0]!, `more than ${MOST_CHANGES} changes`)
  return changes.reduce((before, change) => applyOne(before, change, names), input)
}

function applyOne(input: PlanInput, change: string, names: PeerNames): PlanInput {
  const [, verb, what, value] = /^(\w+):([^=]+)(?:=(.*))?$/s.exec(change) ?? []
  const wrong = (why: string): WhatIfError => new WhatIfError(change, why)
  if (verb === undefined || what === undefined) throw wrong('it has not the form VERB:NAME or VERB:NAME=VALUE')
  const find = (name: string): PlanPeer | undefined =>
    input.peers.find(({ id }) => id === name) ?? input.peers.find(({ id }) => names.get(id) === name)
  if (verb === 'add') return added(input, what, value, find, wrong)
  if (verb === 'link') return linked(input, what, value, find, wrong)
  const peer = find(what)
  if (peer === undefined) throw wrong(`there is no peer ${what}`)
  if (verb === 'remove') {
    if (peer.id === input.origin) throw wrong('the origin cannot be removed: it takes the request')
    return { ...input, peers: input.peers.filter((one) => one !== peer) }
  }
  const better = figureOf(verb, peer, value, wrong)
  return { ...input, peers: input.peers.map((one) => (one === peer ? { ...one, ...better } : one)) }
}

type Find = (name: string) => PlanPeer | undefined
type Wrong = (why: string) => WhatIfError

/** `memory:NAME=8G`, `speed:NAME=2` (so many times as fast). */
function figureOf(verb: string, peer: PlanPeer, value: string | undefined, wrong: Wrong): Partial<PlanPeer> {
  if (verb === 'memory') return { memory: amountOf(value, wrong), reserved: 0 }
  if (verb !== 'speed') throw wrong(`there is no change "${verb}": add, remove, link, memory, speed`)
  const times = amountOf(value, wrong)
  if (times < LEAST_TIMES) throw wrong('a speed of nothing is no speed')
  const { blockMs, headMs, prefillMs, bandwidth } = peer
  return {
    speed: peer.speed * times,
    ...(blockMs === undefined ? {} : { blockMs: blockMs / times }),
    ...(headMs === undefined ? {} : { headMs: headMs / times }),
    ...(prefillMs === undefined ? {} : { prefillMs: prefillMs / times }),
    ...(bandwidth === undefined ? {} : { bandwidth: bandwidth * times }),
  }
}

/** `add:NAME=pi5`, or like a peer that is there: then with its links, and a wired LAN to it. */
function added(input: PlanInput, name: string, value: string | undefined, find: Find, wrong: Wrong): PlanInput {
  if (find(name) !== undefined) throw wrong(`there is a peer ${name} already`)
  if (value === undefined) throw wrong(`it does not say what ${name} is`)
  const device = Object.hasOwn(DEVICES, value) ? DEVICES[value] : undefined
  const model = find(value)
  if (device === undefined && model === undefined) {
    throw wrong(`there is no device or peer ${value}; devices: ${Object.keys(DEVICES).join(', ')}`)
  }
  if (device !== undefined) {
    const { speed, threads, memory, bandwidth } = device
    return { ...input, peers: [...input.peers, { id: name, speed, threads, memory, reserved: 0, bandwidth }] }
  }
  const old = input.links ?? []
  const copies = old.flatMap((link): PlanLink[] => {
    if (link.from === model!.id) return [{ ...link, from: name }]
    return link.to === model!.id ? [{ ...link, to: name }] : []
  })
  return { ...input, peers: [...input.peers, { ...model!, id: name, reserved: 0 }], links: [...old, ...copies] }
}

/** `link:A-B=rtt:5,bandwidth:125M,jitter:1,loss:0.01,relayed`: what is not named stays. Names may have hyphens. */
function linked(input: PlanInput, what: string, value: string | undefined, find: Find, wrong: Wrong): PlanInput {
  const pieces = what.split('-')
  const pairs = pieces
    .slice(1)
    .map((_, index) => [pieces.slice(0, index + 1).join('-'), pieces.slice(index + 1).join('-')])
  const known = pairs.map(([one, other]) => [find(one!), find(other!)] as const)
  const pair = known.find(([one, other]) => one !== undefined && other !== undefined)
  if (pair === undefined) throw wrong(`${what} is no pair A-B of peers that are there`)
  const [from, to] = [pair[0]!.id, pair[1]!.id]
  if (from === to) throw wrong(`${what} is one peer, not a pair`)
  const isOf = (link: PlanLink): boolean =>
    (link.from === from && link.to === to) || (link.from === to && link.to === from)
  const others = (input.links ?? []).filter((link) => !isOf(link))
  const before = (input.links ?? []).find(isOf) ?? { rtt: 1, bandwidth: 0 }
  const figures = Object.assign(
    {},
    ...(value ?? '').split(',').map((part) => linkFigure(part, wrong)),
  ) as Partial<PlanLink>
  return { ...input, links: [...others, { ...before, from, to, ...figures }] }
}

function linkFigure(part: string, wrong: Wrong): Partial<PlanLink> {
  const [key, text] = part.split(':')
  if (key === 'relayed' && text === undefined) return { relayed: true }
  if (key !== 'rtt' && key !== 'bandwidth' && key !== 'jitter' && key !== 'loss') {
    throw wrong('a link has rtt (ms), bandwidth (bytes/s), jitter (ms), loss (0 to 1) and relayed')
  }
  const amount = amountOf(text, wrong)
  if (key === 'loss' && amount >= 1) throw wrong('a link that loses everything is none')
  // Of one without a bandwidth none is known, and it would count as a wired one.
  if (key === 'bandwidth' && amount < 1) throw wrong('a link over which nothing goes is none')
  return { [key]: amount }
}

/** `5`, `0.2`, `125M`, `8GB`. */
function amountOf(text: string | undefined, wrong: Wrong): number {
  const [, digits, suffix] = /^(\d+(?:\.\d+)?)([kMGT]?)B?$/.exec(text ?? '') ?? []
  const amount = digits === undefined ? NaN : Number(digits) * SUFFIXES[suffix ?? '']!
  if (!(amount <= MAX_AMOUNT)) throw wrong(`${text ?? 'nothing'} is no amount, such as 5, 0.2, 125M or 8GB`)
  return amount
}
