/** Checks of the mesh home: writable, private keys private, a socket whose path fits. */
import { constants, existsSync } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { socketPath } from '../../util/index.ts'
import { reasonOf } from '../errors.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check, Finding } from './finding.ts'
import { existing } from './machine.ts'

export const checkHome: Check = async ({ home }) => {
  const folder = existing(home)
  try {
    await access(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    return [
      fail('home', `${folder} is not writable: ${reasonOf(error)}`, `chown or chmod it, or choose another --home`),
    ]
  }
  if (folder !== home) return [ok('home', `${home} will be made by weft up`)]
  const mode = (await stat(home)).mode & 0o777
  const text = `${home} is writable, mode ${mode.toString(8).padStart(4, '0')}`
  if ((mode & 0o022) !== 0) return [fail('home', `${text}: others may write to it`, `chmod go-w ${home}`)]
  return [ok('home', text)]
}

export const checkKeys: Check = async ({ home }) => {
  const folder = join(home, 'keys')
  if (!existsSync(folder)) return [ok('keys', 'no keys yet: weft up makes an identity')]
  const loose: Finding[] = []
  let count = 0
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isFile() || /\.(md|pub)$/.test(entry.name)) continue
    count++
    const path = join(folder, entry.name)
    const mode = (await stat(path)).mode & 0o777
    if ((mode & 0o077) !== 0) {
      loose.push(fail('keys', `${path} has mode 0${mode.toString(8)}: others may read it`, `chmod 600 ${path}`))
    }
  }
  return loose.length > 0 ? loose : [ok('keys', `${count} key files, readable by you alone`)]
}

export const checkSocket: Check = async ({ home, io }) => {
  const socket = socketPath(home, io.env)
  if (dirname(socket) === home) return [ok('socket', socket)]
  const folder = dirname(socket)
  const text = `${home} is too long for a socket, which is ${socket} instead`
  try {
    const { mode, uid } = await stat(folder)
    const shared = (mode & 0o002) !== 0 && uid !== process.getuid?.()
    return [shared ? warn('socket', text, 'set XDG_RUNTIME_DIR, or choose a shorter --home') : ok('socket', text)]
  } catch (error) {
    return [
      fail('socket', `${folder} cannot be used: ${reasonOf(error)}`, 'set XDG_RUNTIME_DIR, or choose a shorter --home'),
    ]
  }
}
