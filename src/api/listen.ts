/** Binding to addresses and sockets, with the reasons why it failed. */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import { dirname } from 'node:path'
import { ListenError, PortInUseError, SocketInUseError } from './errors.ts'
import type { ListenAddress } from './types.ts'

/** @throws PortInUseError, ListenError */
export async function bindTcp(server: Server, { host, port }: ListenAddress): Promise<number> {
  try {
    await listening(server, { host, port })
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw new PortInUseError(host, port, await freePort(host))
    throw new ListenError(`${host}:${port}`, error)
  }
  return (server.address() as AddressInfo).port
}

/**
 * The socket is 0600 from its first moment: the mask holds while `listen` binds, which it does before it returns.
 * @throws SocketInUseError when a peer answers there; a dead socket is replaced. @throws ListenError
 */
export async function bindSocket(server: Server, path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await removeDeadSocket(path)
    const mask = process.umask(0o177)
    let bound: Promise<void>
    try {
      bound = listening(server, { path })
    } finally {
      process.umask(mask)
    }
    await bound
    await chmod(path, 0o600)
  } catch (error) {
    if (error instanceof SocketInUseError) throw error
    if (codeOf(error) === 'EADDRINUSE') throw new SocketInUseError(path)
    throw new ListenError(path, error)
  }
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null)
  if (found === null) return
  if (!found.isSocket()) throw new Error('something that is no socket stands there')
  if (await isAnswered(path)) throw new SocketInUseError(path)
  await unlink(path)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function listening(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** A port that is free on this host just now, for the hint; null when none can be had. */
async function freePort(host: string): Promise<number | null> {
  const trial = createServer()
  try {
    await listening(trial, { host, port: 0 })
    return (trial.address() as AddressInfo).port
  } catch {
    return null
  } finally {
    trial.close()
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | null)?.code
}
