/** Heat and batteries, as Linux tells of them in /sys/class; other systems have no such files, and that is said too. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BatteryState, ThermalState } from '../mesh/index.ts'

/** Folders of one device are few; a system that shows thousands is not read to the end. */
const MAX_DEVICES = 64
/** Sensors that are not there, or not connected, say something outside of this. */
const CREDIBLE_CELSIUS = [1, 150] as const
const MAX_TRIPS = 16

export interface PowerState {
  /** Null: the system does not tell. */
  readonly thermal: ThermalState | null
  readonly battery: BatteryState | null
}

/** @param root as /sys/class */
export async function readPower(root: string): Promise<PowerState> {
  const [thermal, battery] = await Promise.all([
    readThermal(join(root, 'thermal')),
    readBattery(join(root, 'power_supply')),
  ])
  return { thermal, battery }
}

/** The zone that is nearest to its limit, else the hottest. */
async function readThermal(directory: string): Promise<ThermalState | null> {
  const zones = await Promise.all(
    (await devices(directory)).filter((path) => /thermal_zone\d+$/.test(path)).map((path) => readZone(path)),
  )
  const known = zones.filter((zone) => zone !== null)
  const margin = ({ celsius, limit_celsius }: ThermalState): number => (limit_celsius ?? 1_000) - celsius
  return known.sort((left, right) => margin(left) - margin(right))[0] ?? null
}

async function readZone(path: string): Promise<ThermalState | null> {
  const celsius = milli(await line(join(path, 'temp')))
  if (celsius === null) return null
  const limits: number[] = []
  for (let trip = 0; trip < MAX_TRIPS; trip++) {
    const type = await line(join(path, `trip_point_${trip}_type`))
    if (type === null) break
    // `passive` is where the kernel begins to slow the processor down; fans (`active`) do not cost speed
    const limit = type === 'passive' ? milli(await line(join(path, `trip_point_${trip}_temp`))) : null
    if (limit !== null) limits.push(limit)
  }
  const limit = limits.length === 0 ? null : Math.min(...limits)
  return { celsius, limit_celsius: limit, limited: limit !== null && celsius >= limit }
}

function milli(text: string | null): number | null {
  const celsius = Math.round(Number(text ?? Number.NaN) / 100) / 10
  return celsius >= CREDIBLE_CELSIUS[0] && celsius <= CREDIBLE_CELSIUS[1] ? celsius : null
}

/** The emptiest battery of the device itself; those of mice and pens have the scope `Device`. */
async function readBattery(directory: string): Promise<BatteryState | null> {
  const found: BatteryState[] = []
  for (const path of await devices(directory)) {
    if ((await line(join(path, 'type'))) !== 'Battery' || (await line(join(path, 'scope'))) === 'Device') continue
    const capacity = Number((await line(join(path, 'capacity'))) ?? Number.NaN)
    const percent = capacity >= 0 && capacity <= 100 ? capacity : null
    found.push({ percent, discharging: (await line(join(path, 'status'))) === 'Discharging' })
  }
  return found.sort((left, right) => (left.percent ?? 101) - (right.percent ?? 101))[0] ?? null
}

async function devices(directory: string): Promise<string[]> {
  const names: string[] = await readdir(directory).catch(() => [])
  return names
    .sort()
    .slice(0, MAX_DEVICES)
    .map((name) => join(directory, name))
}

async function line(path: string): Promise<string | null> {
  return readFile(path, 'utf8').then(
    (text) => text.slice(0, 64).trim(),
    () => null,
  )
}
