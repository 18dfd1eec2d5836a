/** Loads other rooms when they are needed and not before: `weft version` must not wait for libp2p or the engine. */
import { NotBuiltError } from './errors.ts'

export type RoomFace = Readonly<Record<string, unknown>>

/** Rooms that may export a table of errors, the quick ones first. */
export const ROOMS: readonly string[] = [
  'store',
  'trust',
  'telemetry',
  'models',
  'placement',
  'mesh',
  'net',
  'onnx',
  'data',
  'pipeline',
  'training',
  'compress',
  'federated',
  'peer',
  'api',
]

/** @throws NotBuiltError when this build has no such room. */
export async function loadRoom(room: string): Promise<RoomFace> {
  try {
    return (await import(`../${room}/index.ts`)) as RoomFace
  } catch (error) {
    if (isMissing(error, room)) throw new NotBuiltError(`room "${room}"`)
    throw error
  }
}

/** A function of a room's face, by name. @throws NotBuiltError */
export async function loadFunction(room: string, name: string): Promise<(...args: readonly unknown[]) => unknown> {
  const value = (await loadRoom(room))[name]
  if (typeof value !== 'function') throw new NotBuiltError(`${name} (${room})`)
  return value as (...args: readonly unknown[]) => unknown
}

function isMissing(error: unknown, room: string): boolean {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') return false
  return error.message.includes(`${room}/index.`)
}
