// A hub's clients, the ids it issued, and its frames in the SQLite storage of a Durable Object.
//
// Records are written before anything of them is sent, all of one turn together: workerd commits what is written without an await
// in between as one.

/** Issued ids, oldest first. */
const IDS = 'FROM sse_clients WHERE record IS NULL ORDER BY since, rowid';

/** What one object keeps. */
export class Store {
  #sql;
  #evicted = 0;

  constructor(storage) {
    this.#sql = storage.sql;
    this.#sql.exec('CREATE TABLE IF NOT EXISTS sse_clients (grp TEXT, id TEXT, since REAL, record BLOB, PRIMARY KEY (grp, id))');
    // An id that is issued and not registered is a client without a record; `since` is when it was issued.
    this.#sql.exec('CREATE INDEX IF NOT EXISTS sse_ids ON sse_clients (since) WHERE record IS NULL');
    this.#sql.exec('CREATE TABLE IF NOT EXISTS sse_frames (until INTEGER PRIMARY KEY, record BLOB)');
    this.#sql.exec('CREATE TABLE IF NOT EXISTS sse_facts (name TEXT PRIMARY KEY, value REAL)');
  }

  /** The epoch that all lives of this object share: made once. */
  epoch(made) {
    const kept = this.#fact('epoch');
    if (kept !== undefined) return kept;
    this.#note('epoch', made);
    return made;
  }

  /** Gives an empty engine what was kept, and asks it for changes from now on; `withPassing`: of clients that pass, too. */
  restore(engine, now, withPassing) {
    for (const [group, id, issued] of this.#sql.exec(`SELECT grp, id, since ${IDS}`).raw()) engine.restoreId(issued, group, id);
    for (const [record] of this.#sql.exec('SELECT record FROM sse_clients WHERE record IS NOT NULL ORDER BY since, rowid').raw()) {
      engine.restoreClient(now, new Uint8Array(record));
    }
    this.#evicted = this.#fact('evicted') ?? 0;
    engine.restorePosition(this.#evicted, this.#fact('last') ?? 0);
    for (const [record] of this.#sql.exec('SELECT record FROM sse_frames ORDER BY until').raw()) {
      engine.restoreFrames(new Uint8Array(record));
    }
    engine.keep(withPassing);
  }

  /** Writes down an id that was issued; it becomes a client's when one registers. */
  keepId(now, group, id) {
    this.#sql.exec('INSERT INTO sse_clients VALUES (?, ?, ?, NULL)', group, id, now);
  }

  /** The oldest id that is issued and not registered is so no longer. */
  forgetId() {
    this.#sql.exec(`DELETE FROM sse_clients WHERE rowid = (SELECT rowid ${IDS} LIMIT 1)`);
  }

  /** Writes down what changed. */
  flush(engine) {
    if (!engine.hasChanges()) return;
    if (engine.takeCleared()) this.#sql.exec('DELETE FROM sse_clients');
    const changed = engine.takeClients();
    for (let at = 0; at < changed.length; at += 2) this.#keepClient(engine, changed[at], changed[at + 1]);
    for (let record = engine.takeFrames(); record; record = engine.takeFrames()) {
      this.#sql.exec('INSERT INTO sse_frames VALUES (?, ?)', engine.keptUntil(), record);
    }
    this.#note('last', engine.keptUntil());
    const evicted = engine.evicted();
    if (evicted === this.#evicted) return;
    this.#evicted = evicted;
    this.#note('evicted', evicted);
    this.#sql.exec('DELETE FROM sse_frames WHERE until <= ?', evicted);
  }

  #keepClient(engine, group, id) {
    const record = engine.clientRecord(group, id);
    if (record) {
      const words = 'INSERT INTO sse_clients VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET since = ?3, record = ?4';
      this.#sql.exec(words, group, id, engine.agesSince(group, id), record);
    } else {
      this.#sql.exec('DELETE FROM sse_clients WHERE grp = ? AND id = ?', group, id);
    }
  }

  #fact(name) {
    return [...this.#sql.exec('SELECT value FROM sse_facts WHERE name = ?', name)][0]?.value;
  }

  #note(name, value) {
    this.#sql.exec('INSERT INTO sse_facts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2', name, value);
  }
}
