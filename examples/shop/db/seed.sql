insert into product (name, cents, stock) values
    ('Anchor, 15 kg', 8900, 12),
    ('Compass', 4550, 40),
    ('Rope, 50 m', 3999, 25),
    ('Signal flag', 750, 200),
    ('Ship''s bell', 12900, 3);
