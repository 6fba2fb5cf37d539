import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ownFolder, removeFolder, tool } from './own-process.ts';

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** What a server shows, and whose certificates it takes: a client without one is refused. */
export interface ServerTls {
  /** The CA of both sides. */
  readonly ca: string;
  readonly server: Certificate;
  /** For the suite's own look at its server. */
  readonly client: Certificate;
}

/** A certificate authority that lives as long as a test. */
export class Authority {
  private constructor(
    readonly certificate: Certificate,
    private readonly name: string,
  ) {}

  /** @throws with what to install where there is no openssl */
  static async create(name: string): Promise<Authority> {
    const certificate = await inFolder(async (folder) => {
      await openssl(folder, 'req', '-x509', ...NEW_KEY, '-days', '2', '-subj', `/CN=${name}`, '-out', 'cert.pem');
      return readPair(folder);
    });
    return new Authority(certificate, name);
  }

  get ca(): string {
    return this.certificate.cert;
  }

  /** A certificate for this machine as a server, and for the client of that name. */
  async issue(name: string): Promise<Certificate> {
    return inFolder(async (folder) => {
      writeFileSync(join(folder, 'ca.pem'), this.certificate.cert);
      writeFileSync(join(folder, 'ca.key'), this.certificate.key);
      const usage = 'extendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = IP:127.0.0.1, DNS:localhost\n';
      writeFileSync(join(folder, 'usage.cnf'), usage);
      await openssl(folder, 'req', ...NEW_KEY, '-subj', `/O=${this.name}/CN=${name}`, '-out', 'request.pem');
      const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'usage.cnf'];
      await openssl(folder, 'x509', '-req', '-in', 'request.pem', ...signing, '-out', 'cert.pem');
      return readPair(folder);
    });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem'];

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = ownFolder('certificates');
  try {
    return await work(folder);
  } finally {
    removeFolder(folder);
  }
}

async function readPair(folder: string): Promise<Certificate> {
  const [cert, key] = await Promise.all(['cert.pem', 'key.pem'].map((name) => readFile(join(folder, name), 'utf8')));
  return { cert: cert!, key: key! };
}

async function openssl(folder: string, ...args: string[]): Promise<void> {
  try {
    await tool(['openssl', ...args], { cwd: folder });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(
      'The certificates of this test are made by openssl, which is not installed on this machine. On Debian or Ubuntu: apt-get install openssl',
      { cause: error },
    );
  }
}
