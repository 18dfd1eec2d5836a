/** A thread of the memory trial: it reads a buffer of its own from end to end, each time that it is asked. */
import { parentPort, workerData } from 'node:worker_threads'

const bytes = Buffer.alloc(workerData as number, 1)
// A byte that is not there: memchr, one native pass over all of it at the speed of the memory.
parentPort!.on('message', () => parentPort!.postMessage(bytes.indexOf(2), []))
parentPort!.postMessage('ready', [])
