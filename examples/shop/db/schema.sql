create table product (
    id serial primary key,
    name text not null unique,
    cents int not null check (cents > 0),
    stock int not null check (stock >= 0)
);

create table "order" (
    id uuid primary key,
    customer text not null check (customer <> ''),
    placed timestamptz not null default now(),
    status text not null default 'placed' check (status in ('placed', 'accepted', 'refused')),
    cents bigint not null default 0
);

create table line (
    "order" uuid not null references "order" on delete cascade,
    product int not null references product,
    count int not null check (count between 1 and 100),
    primary key ("order", product)
);
