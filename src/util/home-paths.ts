/** Where a mesh home is, and the socket of its peer: the same answer in the CLI, the peer and the API. */
import { createHash } from 'node:crypto'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

/** `sockaddr_un` holds 108 bytes on Linux and 104 on macOS, the ending zero included. */
const SOCKET_PATH_MAX = 100

/** The mesh home: `--home`, else `WEFT_HOME`, else the XDG data folder. Absolute. */
export function resolveHomePath(flag: string | undefined, env: Environment): string {
  const chosen = flag ?? present(env['WEFT_HOME'])
  if (chosen !== undefined) return resolve(chosen)
  const data = present(env['XDG_DATA_HOME'])
  // The XDG specification has relative paths ignored.
  if (data !== undefined && data.startsWith('/')) return join(data, 'weft')
  return join(present(env['HOME']) ?? homedir(), '.local', 'share', 'weft')
}

/** The Unix socket of the peer of a home; elsewhere, under a name of its own, where the home's path is too long. */
export function socketPath(home: string, env: Environment): string {
  const inside = join(home, 'weft.sock')
  if (Buffer.byteLength(inside) <= SOCKET_PATH_MAX) return inside
  const name = createHash('sha256').update(home).digest('hex').slice(0, 12)
  return join(present(env['XDG_RUNTIME_DIR']) ?? tmpdir(), `weft-${name}.sock`)
}

function present(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}
