/** Is what would be told of this peer now worth a new record? Figures that are measured move all the time. */
import type { HardwareProfile, MeasuredLink, ModelSpeed, ModelUse, SeenSpeed, ShortMemory } from '../mesh/index.ts'

export interface Told {
  readonly hardware: HardwareProfile
  readonly links: readonly MeasuredLink[]
  readonly seen?: readonly SeenSpeed[]
  readonly short?: readonly ShortMemory[]
  readonly use?: readonly ModelUse[]
}

const MEMORY = 1 / 16
const SPEED = 0.2
const BANDWIDTH = 0.3
/** Of a round trip, and by a millisecond at least: on one machine it doubles with every breath. A plan is off by no more for it. */
const ROUND_TRIP = 0.25
const LEAST_MS = 1
const LOSS = 0.05
const PERCENT = 5
const CELSIUS = 5

/**
 * `links`: pairs were not told of before. `soon`: figures of pairs that were told of have moved; they do so all the time, and in
 * a large mesh of somebody.
 */
export function newsOf(told: Told, now: Told): 'now' | 'links' | 'soon' | null {
  const isAnother = hardwareDiffers(told.hardware, now.hardware) || seenDiffers(told.seen ?? [], now.seen ?? [])
  if (isAnother || shortDiffers(told.short ?? [], now.short ?? [])) return 'now'
  if (told.links.length < now.links.length) return 'links'
  return linksDiffer(told.links, now.links) || useDiffers(told.use ?? [], now.use ?? []) ? 'soon' : null
}

function seenDiffers(told: readonly SeenSpeed[], now: readonly SeenSpeed[]): boolean {
  const before = new Map(told.map(({ peer, digest, block_ms: ms }) => [`${peer} ${digest}`, ms]))
  return (
    told.length !== now.length ||
    now.some(({ peer, digest, block_ms: ms }) => differs(before.get(`${peer} ${digest}`), ms, SPEED))
  )
}

function shortDiffers(told: readonly ShortMemory[], now: readonly ShortMemory[]): boolean {
  const before = new Map(told.map(({ peer, bytes }) => [peer, bytes]))
  return told.length !== now.length || now.some(({ peer, bytes }) => before.get(peer) !== bytes)
}

function useDiffers(told: readonly ModelUse[], now: readonly ModelUse[]): boolean {
  const before = new Map(told.map((use) => [use.digest, use]))
  return (
    told.length !== now.length ||
    now.some(({ digest, tokens_per_minute: rate, step_tokens: tokens = 1 }) => {
      const old = before.get(digest)
      return old?.tokens_per_minute !== rate || differs(old.step_tokens ?? 1, tokens, SPEED)
    })
  )
}

function hardwareDiffers(told: HardwareProfile, now: HardwareProfile): boolean {
  return (
    differs(told.memory_free, now.memory_free, MEMORY) ||
    differs(told.speed, now.speed, SPEED) ||
    differs(told.memory_bandwidth, now.memory_bandwidth, BANDWIDTH) ||
    told.thermal?.limited !== now.thermal?.limited ||
    apart(told.thermal?.celsius, now.thermal?.celsius, CELSIUS) ||
    told.battery?.discharging !== now.battery?.discharging ||
    apart(told.battery?.percent, now.battery?.percent, PERCENT) ||
    modelsDiffer(told.models ?? [], now.models ?? [])
  )
}

function modelsDiffer(told: readonly ModelSpeed[], now: readonly ModelSpeed[]): boolean {
  const before = new Map(told.map((model) => [model.digest, model]))
  return (
    told.length !== now.length ||
    now.some((model) => {
      const old = before.get(model.digest)
      return (
        old === undefined ||
        differs(old.block_ms, model.block_ms, SPEED) ||
        differs(old.prefill_ms, model.prefill_ms, SPEED) ||
        differs(old.predicted_block_ms, model.predicted_block_ms, SPEED) ||
        batchDiffers(old, model)
      )
    })
  )
}

function batchDiffers({ batch: told = [] }: ModelSpeed, { batch: now = [] }: ModelSpeed): boolean {
  const before = new Map(told.map(({ rows, factor }) => [rows, factor]))
  return now.some(({ rows, factor }) => differs(before.get(rows), factor, SPEED))
}

function linksDiffer(told: readonly MeasuredLink[], now: readonly MeasuredLink[]): boolean {
  const before = new Map(told.map((link) => [link.peer, link]))
  return (
    told.length !== now.length ||
    now.some((link) => {
      const old = before.get(link.peer)
      return (
        old === undefined ||
        old.relayed !== link.relayed ||
        (differs(old.rtt_ms, link.rtt_ms, ROUND_TRIP) && apart(old.rtt_ms, link.rtt_ms, LEAST_MS)) ||
        differs(old.down, link.down, BANDWIDTH) ||
        differs(old.up, link.up, BANDWIDTH) ||
        apart(old.loss, link.loss, LOSS)
      )
    })
  )
}

type Figure = number | null | undefined

/** By more than a share of what was told. */
function differs(told: Figure, now: Figure, share: number): boolean {
  if (typeof told !== 'number' || typeof now !== 'number') return told !== now
  return Math.abs(now - told) > told * share
}

/** By so much or more. */
function apart(told: Figure, now: Figure, least: number): boolean {
  if (typeof told !== 'number' || typeof now !== 'number') return (told ?? null) !== (now ?? null)
  return Math.abs(now - told) >= least
}
