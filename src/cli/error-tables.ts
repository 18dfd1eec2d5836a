/** Finds what is known about an error code: the tables of all rooms, loaded only as far as needed. */
import { EXIT, ForwardedError, UnexpectedError } from '../errors.ts'
import type { ErrorData, ErrorInfo } from '../errors.ts'
import { CLI_ERRORS } from './errors.ts'
import { loadRoom, ROOMS } from './rooms.ts'

/** Where to look first; a miss falls back to all rooms. */
const ROOMS_OF_AREA: Readonly<Record<string, readonly string[]>> = {
  CLI: [],
  INT: [],
  STO: ['store'],
  TRU: ['trust'],
  MOD: ['models', 'compress'],
  DAT: ['data'],
  PLN: ['placement', 'pipeline'],
  INF: ['pipeline', 'onnx', 'training'],
  NET: ['net', 'mesh'],
  DSC: ['net', 'mesh'],
  FED: ['federated'],
  CFG: ['peer'],
  API: ['api'],
}

export async function findErrorInfo(code: string): Promise<ErrorInfo | undefined> {
  const own = [...CLI_ERRORS, UnexpectedError.info].find((info) => info.code === code)
  if (own !== undefined) return own
  const first = ROOMS_OF_AREA[code.split('-')[1] ?? ''] ?? []
  for (const room of [...first, ...ROOMS.filter((name) => !first.includes(name))]) {
    const found = (await tableOf(room)).find((info) => info.code === code)
    if (found !== undefined) return found
  }
  return undefined
}

export async function allErrorInfos(): Promise<ErrorInfo[]> {
  const tables = [...CLI_ERRORS, UnexpectedError.info]
  for (const room of ROOMS) tables.push(...(await tableOf(room)))
  const byCode = new Map(tables.map((info) => [info.code, info]))
  return [...byCode.values()].sort((a, b) => a.code.localeCompare(b.code))
}

/** An error of another process, with the exit status that its class has. */
export async function forwarded(data: ErrorData): Promise<ForwardedError> {
  return new ForwardedError((await findErrorInfo(data.code)) ?? foreignInfo(data), data)
}

/** The other process is newer than this one and knows codes that this one does not. */
function foreignInfo(data: ErrorData): ErrorInfo {
  return {
    code: data.code,
    title: 'Error of the peer',
    meaning: 'The running peer reports an error that this version of the command does not know.',
    remedy: 'Use the same version of weft for the command and the peer.',
    exit: EXIT.unexpected,
    http: 500,
  }
}

async function tableOf(room: string): Promise<ErrorInfo[]> {
  try {
    const face = await loadRoom(room)
    return Object.entries(face).flatMap(([name, value]) =>
      name.endsWith('_ERRORS') && Array.isArray(value) ? (value as ErrorInfo[]) : [],
    )
  } catch {
    // A room that does not load (no engine for this machine, say) must not hide the error that is being explained.
    return []
  }
}
