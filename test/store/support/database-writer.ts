/** Changes a database beyond what its cache holds, says so, and is done a moment later: until then the file is no database. */
import { setTimeout } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'

const [path] = process.argv.slice(2)
const database = new DatabaseSync(path!)
database.exec('PRAGMA cache_size = 2; CREATE TABLE entries (seq INTEGER PRIMARY KEY, body TEXT)')
database.exec('BEGIN IMMEDIATE')
const insert = database.prepare('INSERT INTO entries VALUES (?, ?)')
for (let seq = 0; seq < 5_000; seq++) insert.run(seq, 'x'.repeat(200))
process.stdout.write('changed\n')
await setTimeout(300)
database.exec('COMMIT')
database.close()
